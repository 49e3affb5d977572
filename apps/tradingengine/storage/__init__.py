"""All SQL, the migrations, and the Redis link between the planes. Postgres is the record; Redis never is.

`streams` and `heartbeat` import neither asyncpg nor SQLAlchemy: the edge uses them too.
"""
