"""An independent reader of the audit log: shares no code with its writer."""
