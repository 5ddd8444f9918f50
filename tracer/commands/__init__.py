"""Every command of `trace` and every table that it prints."""
