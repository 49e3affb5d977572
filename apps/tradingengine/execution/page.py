"""The console's one page. It asks the JSON calls each second; nothing is loaded from elsewhere."""

from typing import Final

PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root{color-scheme:dark light;--ground:#0b0e13;--text:#e6e9ef;--line:#262d38;--muted:#8a94a6;--halted:#ff3b30}
@media (prefers-color-scheme:light){:root{--ground:#fff;--text:#10141b;--line:#d5dbe5;--muted:#5a6475}}
body{margin:0;padding:1rem;background:var(--ground);color:var(--text);font:14px/1.5 system-ui,sans-serif}
body.halted{border-top:6px solid var(--halted)}
h1{font-size:1rem}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
td,th{padding:.25rem .5rem;border-bottom:1px solid var(--line);text-align:left}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem}dt{color:var(--muted)}dd{margin:0}
button{font:inherit;padding:.4rem .9rem}#halt{background:var(--halted);color:#fff;border:0}
</style></head><body>
<h1>{title}: the edge's own console</h1>
<p><button id="halt">HALT</button> <button id="release">Release halt</button> <span id="said" role="status"></span></p>
<dl id="state"></dl>
<h1>Positions</h1><table id="positions"></table>
<h1>Orders</h1><table id="orders"></table>
<script>
const one = id => document.getElementById(id);
const act = async (method, path, body) => {
  const answer = await fetch(path, {method, headers: {"x-te-console": "1"}, body: body && JSON.stringify(body)});
  one("said").textContent = answer.ok ? "done" : (await answer.json()).detail;
  await show();
};
const row = (cells, head) => {
  const line = document.createElement("tr");
  for (const cell of cells) {
    const box = document.createElement(head ? "th" : "td");
    if (cell instanceof Node) box.append(cell); else box.textContent = cell ?? "";
    line.append(box);
  }
  return line;
};
const button = (text, run) => {
  const made = document.createElement("button");
  made.textContent = text; made.onclick = run;
  return made;
};
const get = async path => (await fetch(path)).json();
const ended = ["FILLED", "CANCELLED", "REJECTED", "EXPIRED", "DRY_RUN"];
async function show() {
  try {
    const [state, orders, positions] = await Promise.all([get("/v1/state"), get("/v1/orders"), get("/v1/positions")]);
    document.body.classList.toggle("halted", state.trading_state === "HALTED");
    const facts = {Trading: state.trading_state, Broker: state.broker.name + " " + state.broker.state,
      Prices: state.feed.source + " " + state.feed.market_time, Journal: state.sequence + " entries",
      "Not stored in the cloud yet": state.unshipped, Idle: state.idle, Flat: state.flat};
    one("state").replaceChildren(...Object.entries(facts).flatMap(([name, value]) => {
      const term = document.createElement("dt"), text = document.createElement("dd");
      term.textContent = name; text.textContent = value;
      return [term, text];
    }));
    one("positions").replaceChildren(row(["Symbol", "Product", "Quantity", "Average", ""], true),
      ...positions.items.filter(p => p.quantity).map(p => row([p.symbol, p.product, p.quantity, p.average_price,
        button("Exit", () => act("POST", "/v1/positions/exit", {symbol: p.symbol, product: p.product}))])));
    one("orders").replaceChildren(row(["Time", "Symbol", "Side", "Quantity", "Filled", "State", "Reason", ""], true),
      ...orders.items.map(o => row([o.created_at, o.symbol, o.side, o.quantity, o.filled_quantity, o.state,
        o.reason && o.reason.message,
        ended.includes(o.state) ? "" : button("Cancel", () => act("DELETE", "/v1/orders/" + o.id))])));
  } catch (error) { one("said").textContent = "the edge does not answer"; }
}
one("halt").onclick = () => act("POST", "/v1/halt");
one("release").onclick = () => act("DELETE", "/v1/halt");
show(); setInterval(show, 1000);
</script></body></html>
"""
