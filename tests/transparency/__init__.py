"""What a user does with a client, done with a bare one and with a protected one: each must come to the same."""
