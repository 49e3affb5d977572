"""`kubectl tradingengine`: what people see of releases, and how they lead them. Nothing else imports it."""
