"""What a person is shown of a running slice."""
