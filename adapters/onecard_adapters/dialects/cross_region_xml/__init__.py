"""GBK XML in the Guangdong cross-region form (异地就医), over SOAP 1.1; docs/dialects/cross-region-xml.md."""
