"""Users, instruments, orders with their whole type, events of the edge, positions, candles, alerts, halts, audit.

Money is bigint paise, quantities are bigint units, times are wall time unless a column says market.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = ("expand",)
depends_on = None

_USERS = """
create table users (
  id uuid primary key,
  login text not null unique check (login ~ '^[a-z0-9][a-z0-9.-]{1,31}$'),
  name text not null check (name <> ''),
  password_hash text not null,
  roles text[] not null check (roles <@ array['viewer', 'trader', 'admin'] and cardinality(roles) > 0),
  created_at timestamptz not null default now(),
  password_changed_at timestamptz not null default now(),
  disabled_at timestamptz
);
create table sessions (
  token_hash bytea primary key check (length(token_hash) = 32),
  user_id uuid not null references users on delete cascade,
  created_at timestamptz not null default now(),
  last_seen_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz
);
create index sessions_by_user on sessions (user_id);
create index sessions_by_expiry on sessions (expires_at);
create table login_attempts (
  id bigint generated always as identity primary key,
  login text not null,
  address text not null,
  at timestamptz not null default now(),
  succeeded boolean not null
);
create index login_attempts_by_login on login_attempts (login, at) where not succeeded;
create index login_attempts_by_address on login_attempts (address, at) where not succeeded;
"""

_MARKET = """
create table instruments (
  symbol text primary key,
  exchange text not null,
  segment text not null,
  name text not null,
  kind text not null check (kind in ('equity', 'index', 'future', 'option')),
  lot_size bigint not null check (lot_size > 0),
  tick_paise bigint not null check (tick_paise > 0),
  freeze_quantity bigint not null default 0 check (freeze_quantity >= 0),
  tradable boolean not null,
  lower_band_paise bigint,
  upper_band_paise bigint,
  active boolean not null default true,
  updated_at timestamptz not null default now()
);
create table runs (
  run text primary key,
  source text not null default '',
  journal uuid not null,
  started_at timestamptz not null,
  ended_at timestamptz,
  market_from timestamptz
);
create table candles_1m (
  symbol text not null,
  run text not null,
  time bigint not null,
  open_paise bigint not null,
  high_paise bigint not null,
  low_paise bigint not null,
  close_paise bigint not null,
  volume bigint not null,
  stored_at timestamptz not null default now(),
  primary key (symbol, run, time)
);
create index candles_1m_by_age on candles_1m using brin (stored_at);
"""

_ORDERS = """
create table orders (
  id uuid primary key,
  account text not null,
  broker text not null,
  symbol text not null,
  side text not null check (side in ('BUY', 'SELL')),
  type text not null check (type in ('LIMIT', 'MARKET', 'SL', 'SL_M')),
  product text not null check (product in ('CNC', 'MIS', 'NRML', 'MTF')),
  validity text not null check (validity in ('DAY', 'IOC')),
  quantity bigint not null check (quantity > 0),
  price_paise bigint check (price_paise > 0),
  trigger_price_paise bigint check (trigger_price_paise > 0),
  disclosed_quantity bigint not null default 0 check (disclosed_quantity between 0 and quantity),
  amo boolean not null default false,
  purpose text not null check (purpose in ('ENTRY', 'STOP', 'TARGET', 'EXIT', 'HEDGE', 'ADOPTED')),
  parent_id uuid,
  group_id uuid,
  slice integer not null default 0 check (slice >= 0),
  dry_run boolean not null default false,
  state text not null check (state in ('INTENT', 'SENT', 'OPEN', 'PARTIALLY_FILLED', 'FILLED', 'CANCELLED',
    'REJECTED', 'EXPIRED', 'UNKNOWN', 'NOT_DELIVERED', 'DRY_RUN')),
  delivery text not null check (delivery in ('pending', 'delivered', 'unknown', 'not_delivered')),
  inferred boolean not null default false,
  filled_quantity bigint not null default 0 check (filled_quantity between 0 and quantity),
  average_paise bigint not null default 0,
  broker_order_id text,
  cancel_requested boolean not null default false,
  reason_code text,
  reason_message text,
  reason_mend text,
  source text not null check (source in ('person', 'strategy')),
  strategy text,
  placed_by text,
  origin_release text not null default '',
  origin_slot text not null default '',
  expires_at timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  touched_at timestamptz not null default now(),
  market_time timestamptz,
  run text not null default '',
  ack_ms integer
);
comment on column orders.inferred is 'the state was concluded from the journal being silent, not read in it';
comment on column orders.touched_at is 'when this row last changed here; updated_at is when the order changed';
create index orders_open on orders (id desc)
  where state in ('INTENT', 'SENT', 'OPEN', 'PARTIALLY_FILLED', 'UNKNOWN');
create index orders_by_touch on orders (touched_at);
create index orders_by_symbol on orders (symbol, id desc);
create index orders_undelivered on orders (expires_at)
  where state = 'INTENT' and delivery in ('pending', 'unknown');
create table order_events (
  id bigint generated always as identity primary key,
  order_id uuid not null references orders,
  state text not null,
  event text not null,
  at timestamptz not null,
  market_time timestamptz,
  quantity bigint,
  price_paise bigint,
  journal uuid,
  seq bigint,
  unique (journal, seq)
);
create index order_events_by_order on order_events (order_id, id);
create table fills (
  order_id uuid not null references orders,
  fill_id text not null,
  quantity bigint not null check (quantity > 0),
  price_paise bigint not null check (price_paise >= 0),
  at timestamptz not null,
  market_time timestamptz,
  run text not null default '',
  journal uuid not null,
  seq bigint not null,
  primary key (order_id, fill_id)
);
create index fills_by_time on fills (at);
create table positions (
  account text not null,
  broker text not null,
  symbol text not null,
  product text not null,
  quantity bigint not null default 0,
  cost_paise bigint not null default 0,
  realised_paise bigint not null default 0,
  bought bigint not null default 0,
  sold bigint not null default 0,
  day date not null,
  run text not null default '',
  realised_before_paise bigint not null default 0,
  strategy text,
  updated_at timestamptz not null,
  primary key (account, broker, symbol, product)
);
comment on column positions.realised_before_paise is 'realised before the market day `day` of the run began';
create table pnl_samples (
  bucket timestamptz primary key,
  value_paise bigint not null
);
create table idempotency_keys (
  user_id uuid not null references users on delete cascade,
  key text not null check (length(key) between 1 and 128),
  request_hash bytea not null,
  order_id uuid not null references orders,
  created_at timestamptz not null default now(),
  primary key (user_id, key)
);
create index idempotency_keys_by_age on idempotency_keys (created_at);
"""

_LINK = """
create table outbox (
  id uuid primary key,
  kind text not null check (kind in ('place', 'cancel', 'exit', 'halt', 'release')),
  priority boolean not null,
  body text not null,
  order_id uuid,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  next_attempt_at timestamptz not null default now(),
  attempts integer not null default 0,
  done_at timestamptz,
  outcome text check (outcome in ('seen', 'expired', 'withdrawn'))
);
create index outbox_due on outbox (next_attempt_at) where done_at is null;
create index outbox_by_order on outbox (order_id);
create table edge_journals (
  journal uuid primary key,
  epoch bigint not null default 0,
  applied_seq bigint not null default 0,
  seen_seq bigint not null default 0,
  read_until timestamptz,
  stream_id text not null default '0-0',
  trading_state text,
  first_seen_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create table edge_events (
  journal uuid not null references edge_journals,
  seq bigint not null check (seq > 0),
  epoch bigint not null,
  at timestamptz not null,
  market_time timestamptz,
  run text not null default '',
  type text not null,
  ref text,
  data jsonb not null,
  stored_at timestamptz not null default now(),
  problem text,
  primary key (journal, seq)
);
comment on column edge_events.problem is 'why the entry changed nothing: it could not follow, or was not understood';
create index edge_events_by_ref on edge_events (ref) where ref is not null;
create index edge_events_by_age on edge_events using brin (stored_at);
create table halts (
  id uuid primary key,
  edge_id text,
  requested_by text not null,
  reason text,
  requested_at timestamptz not null,
  delivered_at timestamptz,
  confirmed_at timestamptz,
  entries_total integer not null default 0,
  entries_cancelled integer not null default 0,
  release_id uuid,
  release_requested_by text,
  release_requested_at timestamptz,
  released_at timestamptz,
  touched_at timestamptz not null default now()
);
comment on column halts.edge_id is 'the id under which the edge holds it, or of the last command, if not id';
create unique index halts_active on halts ((true)) where released_at is null;
create table alerts (
  id uuid primary key,
  key text not null unique,
  severity text not null check (severity in ('info', 'warning', 'critical')),
  title text not null,
  detail text not null,
  mend text,
  order_id uuid,
  at timestamptz not null,
  stored_at timestamptz not null default now()
);
create index alerts_by_time on alerts (at desc);
create table audit_events (
  id bigint generated always as identity primary key,
  xid xid8 not null default pg_current_xact_id(),
  generation integer not null default 1,
  occurred_us bigint not null,
  actor text not null,
  action text not null,
  object text not null,
  payload text not null,
  payload_sha256 bytea not null
);
create index audit_events_by_time on audit_events (occurred_us);
"""


def upgrade() -> None:
    """Make the first schema."""
    for statements in (_USERS, _MARKET, _ORDERS, _LINK):
        for statement in statements.split(";\n"):
            if statement.strip():
                op.execute(statement)


def downgrade() -> None:
    """Data are never dropped by a downgrade: the version before works on this schema, or a backup is restored."""
    raise RuntimeError("migrations only expand; restore a backup to go back")
