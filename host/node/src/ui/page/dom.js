// The little that is needed to build and change elements. Names come from clients, so text is only ever set as text.

import { GLYPHS } from "./states.js";

export const byId = (id) => document.getElementById(id);

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// The same, with what stands between backticks as code.
export function setCoded(element, text) {
  if (element.dataset.text === text) return;
  element.dataset.text = text;
  element.replaceChildren(...text.split("`").map((part, index) => (index % 2 === 1 ? make("code", {}, part) : part)));
}

export function setTitle(element, text) {
  if (element.title !== text) element.title = text;
}

export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

export function glyph(state) {
  return GLYPHS[state] ?? "?";
}

// A state: its shape and its word, in its colour.
export function stateMark() {
  const mark = make("span", { class: "state" });
  mark.append(make("span", { class: "glyph", "aria-hidden": "true" }), make("span"));
  return mark;
}

export function setState(mark, state, word = state) {
  if (mark.dataset.state === state && mark.lastChild.textContent === word) return;
  mark.dataset.state = state;
  mark.style.setProperty("--state", GLYPHS[state] ? `var(--state-${state})` : "var(--faint)");
  setText(mark.firstChild, glyph(state));
  setText(mark.lastChild, word);
}

// A command to type, that a click copies.
export function command(text) {
  const button = make("button", { type: "button", class: "command", title: "Copy" }, text);
  button.addEventListener("click", () => copy(text, button));
  return button;
}

export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.classList.add("copied");
    setTimeout(() => button.classList.remove("copied"), 1200);
  } catch {
    // Without the right to the clipboard, selecting it is the next best.
    getSelection().selectAllChildren(button);
  }
}

export function save(name, kind, text) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: kind })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
