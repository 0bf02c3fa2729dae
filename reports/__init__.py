"""Reports are made from records alone: no framework, no adapter and no reference is imported here."""
