"""A bank's accounts of social security cards, JSON over HTTP (社银接口); ours: docs/dialects/card-strings.md."""
