"""Guangdong's local systems as the adapter meets them: a hospital and the provincial core, both speaking infno JSON."""
