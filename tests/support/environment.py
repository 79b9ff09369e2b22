"""The environment that functions run in during tests."""

PUBLIC_URL = "https://api.test"
