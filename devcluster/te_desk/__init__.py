"""The desk without a cluster: api, dashboard and edge as processes of this machine, for those who change them."""
