"""The attacks and measurements that adopters run. Nothing but `commands` imports them."""
