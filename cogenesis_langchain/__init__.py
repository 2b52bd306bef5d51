"""Write as yourself with a large cloud model that never learns who you are."""
