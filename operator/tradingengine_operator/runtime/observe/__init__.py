"""What is known of the watched namespaces: stores that watches, lists and our own writes feed, and who keeps them."""
