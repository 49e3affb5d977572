"""The demo on a cluster that is there: `make demo CLUSTER=current`, and nothing of the devcluster.

access: which cluster, and the programs that talk to it. sight: what it holds. judge: what is missing, and the plan.
ways: how images get there. record: what was made. hand: folders on the edge's disk. reach: how the Gateway is reached.
"""
