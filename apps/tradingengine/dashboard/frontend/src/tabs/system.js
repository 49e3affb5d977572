import { useEffect, useState } from "preact/hooks";
import { load } from "../lib/api.js";
import * as format from "../lib/format.js";
import { html } from "../lib/html.js";
import { edge, now, resources, session, status } from "../lib/store.js";
import { Icon } from "../ui/icons.js";
import { NotYet, Panel } from "../ui/panel.js";

const POLL_MS = 2000;
const WORDS = {
  ok: ["ok", "ok"],
  degraded: ["warned", "degraded"],
  down: ["bad", "down"],
  absent: ["off", "not here"],
};

function Health({ data }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Health table">
    <table class="grid">
      <thead>
        <tr>
          <th scope="col">Part</th>
          <th scope="col">State</th>
          <th scope="col" class="r c-latency">Latency</th>
          <th scope="col" class="r c-avg">Since</th>
          <th scope="col">What, and how to mend it</th>
        </tr>
      </thead>
      <tbody>
        ${data.items.map((item) => {
          const [kind, word] = WORDS[item.state] ?? ["off", item.state];
          return html`<tr key=${item.name} data-health=${item.state}>
            <th scope="row">${item.name}</th>
            <td><i class="dot ${kind}" aria-hidden="true"></i> ${word}</td>
            <td class="r num c-latency">${item.latency_ms == null ? format.NONE : format.age(item.latency_ms)}</td>
            <td class="r num c-avg">${format.wallTime(item.since)}</td>
            <td class="wrap">${item.detail} ${item.mend && html`<b class="warn">${item.mend}</b>`}</td>
          </tr>`;
        })}
      </tbody>
    </table>
  </div>`;
}

function Copy({ text, label }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    // Pages without TLS have no clipboard: the line stays selectable either way.
    await navigator.clipboard?.writeText(text).then(
      () => setDone(true),
      () => setDone(false),
    );
  };
  return html`<div class="command">
    <code>${text}</code>
    <button type="button" class="plain" aria-label="Copy: ${label}" onClick=${copy}>
      ${done ? "copied" : html`<${Icon} name="copy" />`}
    </button>
  </div>`;
}

const SlotLine = ({ word, slot, weights }) =>
  html`<tr>
    <th scope="row">${word}</th>
    <td>${slot ? html`slot <b>${slot.slot}</b>` : format.NONE}</td>
    <td class="num">${slot ? slot.version : ""}</td>
    <td class="num">${slot ? `release ${slot.release}` : ""}</td>
    <td class="r num">${slot ? `${weights?.[slot.slot] ?? 0}%` : ""}</td>
  </tr>`;

function Steps({ release }) {
  const { steps = [], step, step_started_at: since } = release;
  const hold = steps[step]?.hold_seconds;
  const left = since && hold ? format.epoch(since) + hold * 1000 - now.value : null;
  return html`
    <ol class="steps" aria-label="Steps">
      ${steps.map(
        (item, index) => html`<li
          key=${index}
          class=${release.canary ? (index < step ? "done" : index === step ? "now" : "") : "done"}
        >
          <b class="num">${item.weight}%</b>
          <small class="muted num">${item.hold_seconds ? format.countdown(item.hold_seconds * 1000) : "end"}</small>
        </li>`,
      )}
    </ol>
    ${
      release.canary &&
      left !== null &&
      html`<p class="num">
        Step ${step + 1} of ${steps.length}
        : ${left > 0 ? html`<b>${format.countdown(left)}</b> left` : "hold is over, waiting for the checks"}
        .
      </p>`
    }
  `;
}

const checkValue = (value) =>
  value == null ? "no sample" : Number.isFinite(Number(value)) ? Number(value).toFixed(4) : value;

function Release({ data }) {
  const { release } = data;
  const { name, namespace } = session.value.engine;
  if (!release)
    return html`<div class="pad">
      <p>The operator has not told this pod about a release yet.</p>
      <${Copy} label="look at the engine" text="kubectl -n ${namespace} get te ${name} -o wide" />
    </div>`;
  return html`<div class="pad">
    <p>
      <b>${release.phase}</b>
      ${release.version ? html` <span class="muted">version ${release.version}</span>` : ""}
      ${release.reason ? html` <span class="muted">· ${release.reason}</span>` : ""}
    </p>
    <table class="grid">
      <tbody>
        <${SlotLine} word="Stable" slot=${release.stable} weights=${release.weights} />
        <${SlotLine} word="Canary" slot=${release.canary} weights=${release.weights} />
      </tbody>
    </table>
    <${Steps} release=${release} />
    ${
      release.checks?.length > 0 &&
      html`<table class="grid">
        <thead>
          <tr><th scope="col">Check</th><th scope="col" class="r">Sample</th><th scope="col" class="r">Limit</th></tr>
        </thead>
        <tbody>
          ${release.checks.map(
            (check) => html`<tr key=${check.name}>
              <th scope="row">${check.name}</th>
              <td class="r num ${Number(check.value) > Number(check.limit) ? "loss" : ""}">
                ${checkValue(check.value)}
              </td>
              <td class="r num">${check.limit}</td>
            </tr>`,
          )}
        </tbody>
      </table>`
    }
    <p class="muted small">Promotion and withdrawal are made on the cluster, never from a page. To follow:</p>
    <${Copy} label="follow the release" text="kubectl -n ${namespace} get te ${name} -w" />
    <p class="muted small">
      You are served by release ${data.user_release.release || "none"}
      , slot ${data.user_release.slot || "none"}
      , version ${data.user_release.version}
      .
    </p>
  </div>`;
}

const Fact = ({ name, children, kind = "" }) =>
  html`<div><dt>${name}</dt><dd class="num ${kind}">${children}</dd></div>`;

function Edge({ data }) {
  const { state, age, epoch, trading_state: trading, unshipped, version } = edge.value;
  const broker = data.brokers[0];
  return html`
    <dl class="facts">
      <${Fact} name="Link" kind=${state === "connected" ? "gain" : "loss"}>${state}<//>
      <${Fact} name="Heartbeat">${age === null ? format.NONE : `${format.age(age)} old`}<//>
      <${Fact} name="Trading state" kind=${trading === "ACTIVE" ? "gain" : "loss"}>${trading ?? "unknown"}<//>
      <${Fact} name="Broker">${broker ? `${broker.name}: ${broker.state ?? "unknown"}` : format.NONE}<//>
      <${Fact} name="Journal epoch">${epoch ?? format.NONE}<//>
      <${Fact} name="Journal lag" kind=${unshipped > 100 ? "warn" : ""}>
        ${unshipped == null ? format.NONE : `${format.count(unshipped)} events not shipped`}
      <//>
      <${Fact} name="Version">${version ?? format.NONE}<//>
      <${Fact} name="Feed">
        ${data.market.source}
        ${data.market.run ? `, run ${String(data.market.run).slice(0, 8)}` : ""}
        , ${data.feed.state}
      <//>
    </dl>
    <p class="small muted pad">
      The edge's own console answers on its machine at http://127.0.0.1:8090, also when the link is cut.
    </p>
  `;
}

export function System() {
  useEffect(() => {
    load("system");
    // A page in the background asks nothing.
    const timer = setInterval(() => document.hidden || load("system"), POLL_MS);
    return () => clearInterval(timer);
  }, []);
  return html`<div class="tab-system">
    <div class="column">
      <${Panel}
        name="system"
        title="Health"
        resource=${resources.system}
        pushed=${false}
        rows=${9}
        class="health"
        isEmpty=${(data) => !data.items.length}
        empty=${{ text: "No part reports.", step: "Try again in a moment." }}
      >${(data) => html`<${Health} data=${data} />`}<//>
      <${NotYet} title="Backups, limits, users, audit">
        <p>
          Backups and drills, editing of limits and flags, MFA, audit search, logs and the learning centre are not in
          this version. CPU, memory and NPU of the edge come with its models.
        </p>
        <p class="muted">
          Risk limits that the edge holds: ₹
          ${format.count(session.value.engine.risk.daily_loss)} daily loss, ₹
          ${format.count(session.value.engine.risk.order)} per order, ₹
          ${format.count(session.value.engine.risk.position)} per position. Users are managed by <code>te user</code>
          .
        </p>
      <//>
    </div>
    <div class="column">
      <${Panel} name="status" title="Release" resource=${status} rows=${5} class="release">
        ${(data) => html`<${Release} data=${data} />`}
      <//>
      <${Panel} name="status" title="Edge" resource=${status} rows=${4} class="edge-panel">
        ${(data) => html`<${Edge} data=${data} />`}
      <//>
    </div>
  </div>`;
}
