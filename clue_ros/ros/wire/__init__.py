"""Messages to arrays and back, topics and their subscriptions, tf."""
