// The login page: sends the form as JSON and goes where the person wanted to go.
import { BASE } from "./lib/base.js";

const form = document.getElementById("login");
const PATHS = ["/dashboard", "/charts", "/fno", "/btst", "/portfolio", "/system"];

const target = () => {
  const next = new URLSearchParams(location.search).get("next");
  return PATHS.includes(next) ? next : "/dashboard";
};

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const error = document.getElementById("login-error");
  const button = form.querySelector("button");
  error.hidden = true;
  button.disabled = true;
  const { login, password } = Object.fromEntries(new FormData(form));
  try {
    const answer = await fetch(`${BASE}/v1/session`, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify({ login: String(login).trim(), password }),
      signal: AbortSignal.timeout(10_000),
    });
    if (answer.ok) return location.replace(BASE + target());
    const problem = await answer.json().catch(() => ({}));
    error.textContent = [problem.detail || problem.title || "The login failed.", problem.mend]
      .filter(Boolean)
      .join(" ");
  } catch {
    error.textContent = "The server did not answer. Try again.";
  }
  error.hidden = false;
  button.disabled = false;
  form.elements.password.select();
  return undefined;
});
form?.elements.login.focus();
