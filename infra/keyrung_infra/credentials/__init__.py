"""People's credentials at the command line: listed, shown as QR codes, imported from files."""
