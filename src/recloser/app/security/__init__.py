"""Owns who may reach a project's gateway and how: token file, certificates, the audit of operations. Serves nothing."""
