'use strict';
const find = (id) => document.getElementById(id);
const make = (tag, attributes = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children.filter((c) => c !== null && c !== undefined));
  return element;
};
let state = { members: [], messages: [], views: [], trouble: {} };
let shown = '';
let open = '';
// A page for pictures shows all from its top.
const still = new URLSearchParams(location.search).has('still');
document.body.classList.toggle('still', still);

const post = async (what, body) => {
  const reply = await fetch('control/' + what, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  const text = await reply.text();
  if (!reply.ok) { say(text); return {}; }
  const done = JSON.parse(text);
  if (done.problem) say('Slack would say that this app did not respond: ' + done.problem);
  await refresh();
  return done;
};
let hush;
const say = (text) => {
  find('notice').textContent = text;
  find('notice').hidden = false;
  clearTimeout(hush);
  hush = setTimeout(() => { find('notice').hidden = true; }, 8000);
};

// mrkdwn is what Slack makes of text: every part is put in as text, never as HTML.
const marks = /(```[\s\S]+?```|`[^`\n]+`|<[^>\n]+>|\*[^*\n]+\*|(?<![\w])_[^_\n]+_(?![\w])|~[^~\n]+~|:[a-z0-9_+-]+:)/g;
const emoji = { white_check_mark: '✅', x: '❌', warning: '⚠️', hourglass: '⌛', hourglass_flowing_sand: '⏳', rocket: '🚀', rewind: '⏪', double_vertical_bar: '⏸️', arrow_forward: '▶️', large_green_circle: '🟢', large_yellow_circle: '🟡', red_circle: '🔴', large_blue_circle: '🔵', white_circle: '⚪', tada: '🎉', no_entry: '⛔', raised_hand: '✋', bell: '🔔', leftwards_arrow_with_hook: '↩️', arrows_counterclockwise: '🔄', scales: '⚖️', vertical_traffic_light: '🚦', zzz: '💤', fast_forward: '⏩', black_circle: '⚫', octagonal_sign: '🛑', heavy_check_mark: '✔️', twisted_rightwards_arrows: '🔀', speech_balloon: '💬', bust_in_silhouette: '👤', thumbsup: '👍', '+1': '👍', thumbsdown: '👎', information_source: 'ℹ️', memo: '📝', rotating_light: '🚨', stop_button: '⏹️', recycle: '♻️', point_right: '👉' };
const plain = (text) => text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
const angled = (part) => {
  const [target, label] = part.slice(1, -1).split('|');
  if (target.startsWith('@')) return '@' + (state.members.find((m) => m.id === target.slice(1))?.name ?? label ?? target.slice(1));
  if (target.startsWith('!date^')) return new Date(1000 * Number(target.split('^')[1])).toLocaleString();
  if (target.startsWith('!') || target.startsWith('#')) return '@' + (label ?? target.slice(1));
  if (!/^https?:|^mailto:/.test(target)) return plain(label ?? target);
  return make('a', { href: plain(target), rel: 'noreferrer' }, plain(label ?? target));
};
const inline = (text) => text.split(marks).filter((p) => p !== '').map((part) => {
  if (/^```[\s\S]+```$/.test(part)) return make('pre', {}, plain(part.slice(3, -3).replace(/^\n|\n$/g, '')));
  if (/^`.+`$/.test(part)) return make('code', {}, plain(part.slice(1, -1)));
  if (/^<.+>$/.test(part)) return angled(part);
  if (/^\*.+\*$/.test(part)) return make('b', {}, ...inline(part.slice(1, -1)));
  if (/^_.+_$/.test(part)) return make('i', {}, ...inline(part.slice(1, -1)));
  if (/^~.+~$/.test(part)) return make('s', {}, ...inline(part.slice(1, -1)));
  if (/^:.+:$/.test(part)) return emoji[part.slice(1, -1)] ?? part;
  return plain(part);
});
const mrkdwn = (text) => {
  const out = [];
  for (const [i, line] of text.split('\n').entries()) {
    const quote = /^(&gt;|>) ?/.exec(line);
    if (quote) { out.push(make('blockquote', {}, ...inline(line.slice(quote[0].length)))); continue; }
    if (i > 0 && !(out.at(-1) instanceof HTMLQuoteElement)) out.push('\n');
    out.push(...inline(line));
  }
  return /```/.test(text) ? inline(text) : out;
};
const textOf = (object) => (object.type === 'mrkdwn' ? mrkdwn(object.text) : [object.text]);

const ask = (confirm) => new Promise((resolve) => {
  const dialog = find('confirm');
  dialog.querySelector('h2').textContent = confirm.title.text;
  dialog.querySelector('p').replaceChildren(...textOf(confirm.text));
  dialog.querySelector('[value=no]').textContent = confirm.deny.text;
  dialog.querySelector('[value=yes]').textContent = confirm.confirm.text;
  dialog.querySelector('[value=yes]').className = confirm.style ?? 'primary';
  dialog.returnValue = 'no';
  dialog.onclose = () => resolve(dialog.returnValue === 'yes');
  dialog.showModal();
});
const button = (message, element) => {
  const b = make('button', { className: element.style ?? '' }, element.text.text);
  b.onclick = async () => {
    if (element.confirm && !(await ask(element.confirm))) return;
    b.disabled = true;
    await post('click', { message: message.ts, action: element.action_id, user: find('me').value });
    b.disabled = false;
  };
  return b;
};
const block = (message, b) => {
  const element = (e) => (e.type === 'button' ? button(message, e) : make('span', {}, ...textOf(e), ' '));
  switch (b.type) {
    case 'header': return make('h3', {}, b.text.text);
    case 'divider': return make('hr');
    case 'context': return make('p', { className: 'context' }, ...b.elements.flatMap((e, i) => [i ? '  ·  ' : null, element(e)]));
    case 'actions': return make('div', {}, ...b.elements.map(element));
    case 'section': {
      const fields = (b.fields ?? []).map((f) => make('p', {}, ...textOf(f)));
      return make('div', {}, b.text ? make('p', {}, ...textOf(b.text)) : null,
        fields.length ? make('div', { className: 'fields' }, ...fields) : null, b.accessory ? element(b.accessory) : null);
    }
    default: return make('p', { className: 'context' }, '(' + b.type + ')');
  }
};
const article = (m) => {
  const at = new Date(1000 * Number(m.ts)).toLocaleTimeString();
  const by = make('div', { className: 'by' }, 'Weighlock ', make('span', { className: 'app' }, 'APP'), make('small', {}, at + (m.edited ? ' (edited)' : '')));
  const body = m.blocks?.length ? m.blocks.map((b) => block(m, b)) : [make('p', {}, ...mrkdwn(m.text))];
  return make('article', {}, make('div', { className: 'face' }, 'W'), make('div', {},
    m.onlyFor ? make('div', { className: 'only' }, 'Only visible to you') : null,
    m.subtype === 'thread_broadcast' ? make('div', { className: 'sent' }, 'replied to a thread, and also sent to the channel') : null,
    by, ...body));
};
const draw = () => {
  const me = find('me').value;
  const mine = state.messages.filter((m) => !m.onlyFor || m.onlyFor === me);
  const roots = mine.filter((m) => !m.thread_ts || m.thread_ts === m.ts);
  const main = find('messages');
  const atEnd = window.innerHeight + window.scrollY >= document.body.scrollHeight - 80;
  main.replaceChildren(...roots.flatMap((root) => {
    const replies = mine.filter((m) => m.thread_ts === root.ts && m.ts !== root.ts);
    if (!replies.length) return [article(root)];
    return [article(root), make('div', { className: 'thread' }, make('div', { className: 'count' }, replies.length + (replies.length > 1 ? ' replies' : ' reply')), ...replies.map(article))];
  }));
  if (!roots.length) main.append(make('p', { className: 'empty' }, 'Nothing was said here yet.'));
  if (atEnd && !still) window.scrollTo(0, document.body.scrollHeight);
};

const input = (view, b) => {
  const wrong = view.errors?.[b.block_id];
  const field = make(b.element.multiline ? 'textarea' : 'input', { name: b.block_id, placeholder: b.element.placeholder?.text ?? '', required: !b.optional, maxLength: b.element.max_length ?? 3000 });
  return [make('label', {}, b.label.text), field, wrong ? make('p', { className: 'wrong' }, wrong) : null];
};
const modal = () => {
  const dialog = find('modal');
  const view = state.views.find((v) => v.user === find('me').value);
  const name = view ? view.id + JSON.stringify(view.errors ?? {}) : '';
  if (name === open) return;
  open = name;
  if (!view) { dialog.close(); return; }
  const form = make('form', {}, make('h2', {}, view.view.title.text),
    ...view.view.blocks.flatMap((b) => (b.type === 'input' ? input(view, b) : [block({}, b)])),
    make('menu', {}, make('button', { type: 'button', onclick: () => post('submit', { view: view.id, cancel: true }) }, view.view.close?.text ?? 'Cancel'),
      view.view.submit ? make('button', { className: 'primary' }, view.view.submit.text) : null));
  form.onsubmit = (event) => {
    event.preventDefault();
    post('submit', { view: view.id, values: Object.fromEntries(new FormData(form)) });
  };
  dialog.oncancel = () => post('submit', { view: view.id, cancel: true });
  dialog.replaceChildren(form);
  if (!dialog.open) dialog.showModal();
};

const refresh = async () => {
  const reply = await fetch('control/state');
  state = await reply.json();
  state.messages ??= [];
  state.views ??= [];
  const me = find('me');
  if (!me.options.length) {
    me.append(...state.members.map((m) => make('option', { value: m.id }, m.name + (m.groups ? ' (releasers)' : ''))));
    me.value = new URLSearchParams(location.search).get('as') ?? state.members[0].id;
  }
  find('trouble').value = state.trouble.mode;
  const now = me.value + JSON.stringify([state.messages, state.members]);
  if (now !== shown) { shown = now; draw(); }
  modal();
};
find('me').onchange = () => refresh();
find('trouble').onchange = () => post('trouble', { mode: find('trouble').value });
const loop = async () => {
  try { await refresh(); } catch { say('The local stack does not answer.'); }
  setTimeout(loop, 1000);
};
loop();
