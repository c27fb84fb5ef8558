"""Pure data of the OCI and Docker formats: no I/O, no engine."""
