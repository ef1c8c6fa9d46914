"""A bank that opens the accounts of social security cards; its JSON is ours, no public source shows a 社银接口."""
