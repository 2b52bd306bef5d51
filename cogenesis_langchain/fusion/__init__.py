"""Next-token fusion in numpy: distributions, combiners, drafts kept in step, the bounded shadow. Pure."""
