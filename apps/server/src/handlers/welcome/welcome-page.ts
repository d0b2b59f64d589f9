import { createHash } from 'node:crypto'
import { escapeAttribute, figure, table } from '../page-parts.ts'

const style = `
:root { color-scheme: light dark; --text: #1d2329; --soft: #5a6570; --ground: #ffffff; --line: #d5dbe1;
  --active: #1a7f4b; --draining: #a45a00; --alarm: #b3261e; --focus: #0b62c4 }
@media (prefers-color-scheme: dark) {
  :root { --text: #e7ebef; --soft: #a5b0bb; --ground: #15191d; --line: #39424b;
    --active: #5fd39a; --draining: #f0b35a; --alarm: #ff8a80; --focus: #7db8ff }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 70rem; color: var(--text); background: var(--ground);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
header { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center }
h1 { margin: 0; font-size: 1.4rem; flex: 1 1 12rem }
h2 { margin: 2rem 0 .5rem; font-size: 1.1rem }
button { font: inherit; color: inherit; background: transparent; border: 1px solid var(--soft);
  border-radius: .4rem; padding: .4rem 1rem; min-height: 2.75rem; cursor: pointer }
button:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px }
#state { margin: .5rem 0; color: var(--soft) }
#state.alarm { color: var(--alarm); font-weight: 600 }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .75rem; margin: 0 }
dl div { border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .75rem }
dt { color: var(--soft); font-size: .875rem }
dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums }
table { width: 100%; border-collapse: collapse }
caption { text-align: start; color: var(--soft); padding-bottom: .25rem }
th, td { text-align: start; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line);
  font-weight: normal; vertical-align: top }
thead th { color: var(--soft); font-size: .875rem }
tbody th { font-weight: 600 }
.number { font-variant-numeric: tabular-nums }
.active { color: var(--active) } .init { color: var(--soft) } .draining, .drained { color: var(--draining) }
@media (max-width: 40rem) {
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
  table, tbody, tr, th, td, caption { display: block }
  tr { border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .75rem; margin-bottom: .5rem }
  tbody th, td { border: 0; padding: .1rem 0; display: flex; justify-content: space-between; gap: 1rem }
  tbody th::before, td::before { content: attr(data-label); color: var(--soft); font-weight: normal;
    flex: none }
}
`

// The tables carry explicit roles because `display: block` on a narrow screen takes the implicit ones away.
const script = `
const url = document.documentElement.dataset.status
const element = (id) => document.getElementById(id)
const number = new Intl.NumberFormat('en')
let paused = false, earlier, timer

function say(text, alarm) {
  const state = element('state')
  if (state.textContent !== text) state.textContent = text
  state.classList.toggle('alarm', alarm)
}
function cell(tag, role, label, text, kind) {
  const made = document.createElement(tag)
  made.setAttribute('role', role)
  made.dataset.label = label
  const inner = document.createElement('span')
  inner.textContent = text
  if (kind) inner.className = kind
  made.append(inner)
  return made
}
function fill(body, rows) {
  element(body).replaceChildren(...rows.map(([first, ...others]) => {
    const row = document.createElement('tr')
    row.setAttribute('role', 'row')
    const head = cell('th', 'rowheader', ...first)
    head.scope = 'row'
    row.append(head, ...others.map((other) => cell('td', 'cell', ...other)))
    return row
  }))
}
function count(value) { return number.format(value ?? 0) }
function rate(now, then, seconds) {
  return then === undefined || !(seconds > 0) ? '\\u2013' : number.format(Math.max(0, Math.round((now - then) / seconds)))
}
function show(now) {
  const seconds = earlier ? (now.time - earlier.time) / 1000 : 0
  element('rate').textContent = rate(now.totals.requests ?? 0, earlier?.totals.requests, seconds)
  element('connections').textContent = count(now.totals.connections)
  element('requests').textContent = count(now.totals.requests)
  for (const digit of [2, 3, 4, 5]) element('class' + digit).textContent = count(now.totals['responses' + digit + 'xx'])
  fill('mounts', now.mounts.map((mount) => [
    ['Prefix', mount.prefix], ['Host', mount.host ?? 'any'], ['State', mount.state, mount.state],
    ['Generation', count(mount.generation), 'number'], ['References', count(mount.references), 'number'],
    ['Served', count(mount.served), 'number'], ['Module', mount.module]]))
  fill('workers', now.workers.map(({ worker, counters }) => {
    const before = earlier?.workers.find((other) => other.worker === worker)?.counters.requests
    return [['Worker', String(worker)],
      ['Requests per second', rate(counters.requests ?? 0, before, seconds), 'number'],
      ['Requests', count(counters.requests), 'number'],
      ['Accepted connections', count(counters.accepted), 'number']]
  }))
  earlier = now
}
async function refresh() {
  try {
    const response = await fetch(url, { cache: 'no-store', signal: AbortSignal.timeout(5000) })
    if (!response.ok) throw new Error('status ' + response.status)
    const now = await response.json()
    if (paused) return
    show(now)
    say('Live: refreshed every second.', false)
  } catch {
    if (!paused) say('The server cannot be reached. What is shown is from its last answer; trying again every second.', true)
  }
  if (!paused) timer = setTimeout(refresh, 1000)
}
element('pause').addEventListener('click', () => {
  paused = !paused
  clearTimeout(timer)
  element('pause').textContent = paused ? 'Resume' : 'Pause'
  if (paused) say('Paused.', false)
  else { earlier = undefined; refresh() }
})
refresh()
`

const sha256 = (content: string): string =>
  `'sha256-${createHash('sha256').update(content).digest('base64')}'`

/** Lets the page run its own style and script and ask its own server, and nothing else. */
export const welcomePolicy: string = [
  "default-src 'none'",
  `style-src ${sha256(style)}`,
  `script-src ${sha256(script)}`,
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** The page for the mount at `mountPath`, which it asks for its `status.json`. */
export function welcomePage(mountPath: string): string {
  const status = escapeAttribute(`${mountPath === '/' ? '' : mountPath}/status.json`)
  return `<!doctype html>
<html lang="en" data-status="${status}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>x-server</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<header>
<h1>x-server is running</h1>
<button id="pause" type="button">Pause</button>
</header>
<p id="state" role="status">Waiting for the first answer.</p>
<noscript><p>This page needs JavaScript to refresh itself; the figures are in <a href="${status}">status.json</a>.</p></noscript>
<main>
<h2 id="traffic">Traffic</h2>
<dl aria-labelledby="traffic">
${figure('rate', 'Requests per second')}
${figure('connections', 'Open connections')}
${figure('requests', 'Requests')}
${[2, 3, 4, 5].map((digit) => figure(`class${digit}`, `Responses ${digit}xx`)).join('\n')}
</dl>
<h2>Mounts</h2>
${table('mounts', 'What is mounted, and what still drains', ['Prefix', 'Host', 'State', 'Generation', 'References', 'Served', 'Module'])}
<h2>Workers</h2>
${table('workers', 'Traffic of each worker thread', ['Worker', 'Requests per second', 'Requests', 'Accepted connections'])}
</main>
<script>${script}</script>
</body>
</html>
`
}
