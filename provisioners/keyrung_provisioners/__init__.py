"""Keys made and proven inside the stores that hold them; no key byte leaves."""
