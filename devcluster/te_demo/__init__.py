"""The demo and what the end-to-end tests share with it: the product on the devcluster, used as a person would."""
