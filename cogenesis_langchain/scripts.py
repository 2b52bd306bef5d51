"""Names and addresses in other languages than English."""
