/* global document, EventSource */
const base = document.documentElement.dataset.base
const element = (id) => document.getElementById(id)
const number = new Intl.NumberFormat('en')
const clock = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium' })
/** Seconds that the sparkline shows. */
const SHOWN = 60

/** Snapshots of the last minute, as far as rates need them. */
let snapshots = []
let latest

// --- What is shown ---

function setText(target, text) {
  // Unchanged text is left alone: a screen reader would read it again.
  if (target.textContent !== text) target.textContent = text
}

function count(value) {
  return number.format(value ?? 0)
}

function milliseconds(value) {
  return `${number.format(Math.round(value * 10) / 10)} ms`
}

function connectionCount(value) {
  return `${count(value)} ${value === 1 ? 'connection' : 'connections'}`
}

function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  const [days, hours, minutes] = [
    Math.floor(seconds / 86400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
  ]
  if (days > 0) return `${days} d ${hours} h`
  if (hours > 0) return `${hours} h ${minutes} min`
  if (minutes > 0) return `${minutes} min ${seconds % 60} s`
  return `${seconds} s`
}

function rate(now, then, ms) {
  return ms > 0 ? Math.max(0, ((now - then) * 1000) / ms) : 0
}

function say(text, isAlarm) {
  setText(element('state'), text)
  element('state').classList.toggle('alarm', isAlarm)
}

/** Rows are kept by their keys, so that a button does not lose the focus when the figures change. */
function fill(id, rows) {
  const body = element(id)
  const known = new Map([...body.rows].map((row) => [row.dataset.key, row]))
  rows.forEach(({ key, cells, actions }, index) => {
    const row = known.get(key) ?? newRow(key, cells, actions)
    known.delete(key)
    cells.forEach(({ text, kind = '' }, at) => {
      const inner = row.cells[at].firstChild
      setText(inner, text)
      if (inner.className !== kind) inner.className = kind
    })
    if (body.rows[index] !== row) body.insertBefore(row, body.rows[index] ?? null)
  })
  for (const row of known.values()) row.remove()
}

function newRow(key, cells, actions) {
  const row = document.createElement('tr')
  row.setAttribute('role', 'row')
  row.dataset.key = key
  cells.forEach(({ label }, index) => {
    const cell = document.createElement(index === 0 ? 'th' : 'td')
    cell.setAttribute('role', index === 0 ? 'rowheader' : 'cell')
    if (index === 0) cell.scope = 'row'
    cell.dataset.label = label
    cell.append(document.createElement('span'))
    row.append(cell)
  })
  if (actions !== undefined) row.append(actionCell(actions))
  return row
}

function actionCell(actions) {
  const cell = document.createElement('td')
  cell.setAttribute('role', 'cell')
  if (actions.length === 0) return cell
  cell.dataset.label = 'Actions'
  const group = document.createElement('div')
  group.className = 'actions'
  for (const { text, label, run } of actions) {
    const button = document.createElement('button')
    button.type = 'button'
    button.textContent = text
    button.setAttribute('aria-label', label)
    button.addEventListener('click', run)
    group.append(button)
  }
  cell.append(group)
  return cell
}

function figures(id, entries) {
  const list = element(id)
  while (list.children.length < entries.length) {
    const group = document.createElement('div')
    group.append(document.createElement('dt'), document.createElement('dd'))
    list.append(group)
  }
  entries.forEach(([name, value], index) => {
    const [title, figure] = list.children[index].children
    setText(title, name)
    setText(figure, value)
  })
}

function show(snapshot) {
  const before = latest
  latest = snapshot
  snapshots = [...snapshots, snapshot].filter(({ time }) => time > snapshot.time - SHOWN * 1000)
  showProcess(snapshot)
  showTraffic(snapshot)
  showMounts(snapshot)
  showWorkers(snapshot)
  showRestarts(snapshot)
  if (before !== undefined && before.status.pid !== snapshot.status.pid) {
    const [restart] = snapshot.status.restarts
    if (restart?.to === snapshot.status.pid) tell(restarted(restart))
  }
}

function showProcess({ time, status }) {
  setText(element('pid'), String(status.pid))
  setText(element('version'), status.version)
  setText(element('uptime'), duration(time - status.started))
  setText(element('address'), `${status.host} port ${status.port}`)
  setText(element('server-state'), status.state)
  setText(element('config'), status.config ?? 'built-in')
}

function showTraffic({ status }) {
  const { counters, connectionStates } = status
  setText(element('requests'), count(counters.requests))
  for (const digit of [2, 3, 4, 5]) setText(element(`class${digit}`), count(counters[`responses${digit}xx`]))
  figures(
    'connections',
    Object.entries(connectionStates).map(([name, value]) => [
      name.charAt(0).toUpperCase() + name.slice(1),
      count(value),
    ]),
  )
  drawRates()
}

/** A point for each two snapshots that are at least half a second apart. */
function drawRates() {
  const points = []
  let [then] = snapshots
  for (const now of snapshots) {
    if (now.time - then.time < 500) continue
    const value = rate(now.status.counters.requests, then.status.counters.requests, now.time - then.time)
    points.push({ time: now.time, value })
    then = now
  }
  const last = points.at(-1)
  if (last === undefined) return
  const most = Math.max(...points.map(({ value }) => value))
  const at = ({ time, value }) => {
    const x = 120 - ((last.time - time) / (SHOWN * 1000)) * 120
    return `${x.toFixed(2)},${(31 - (value / Math.max(most, 1)) * 29).toFixed(2)}`
  }
  const line = points.map(at)
  element('sparkline-line').setAttribute('points', line.join(' '))
  const [first] = line[0].split(',')
  element('sparkline-area').setAttribute('points', `${first},32 ${line.join(' ')} 120,32`)
  setText(element('rate'), count(Math.round(last.value)))
  setText(element('sparkline-range'), `over the last minute, at most ${count(Math.round(most))}`)
}

const mountName = ({ prefix, host = '' }) => `${host}${prefix}`

function showMounts({ mounts }) {
  fill(
    'mounts',
    mounts.map((mount) => {
      const isActive = mount.state === 'active'
      const kind = isActive ? 'good' : mount.state === 'init' ? '' : 'draining'
      return {
        key: JSON.stringify([mount.prefix, mount.host ?? '', isActive ? '' : mount.generation]),
        cells: [
          { label: 'Prefix', text: mount.prefix },
          { label: 'Host', text: mount.host ?? 'any' },
          { label: 'Module', text: mount.module },
          { label: 'Generation', text: count(mount.generation), kind: 'number' },
          { label: 'State', text: mount.state, kind },
          { label: 'References', text: count(mount.references), kind: 'number' },
          { label: 'Requests', text: count(mount.served), kind: 'number' },
        ],
        actions: isActive ? mountActions(mount) : [],
      }
    }),
  )
}

/** `mount` may be of an earlier generation by the time of the click, so what it is now is looked up. */
function mountActions(mount) {
  const name = mountName(mount)
  const now = () => latest.mounts.find((each) => each.state === 'active' && mountName(each) === name) ?? mount
  return [
    { text: 'Replace', label: `Replace ${name}`, run: ({ target }) => ask(replacing(now()), target) },
    { text: 'Unmount', label: `Unmount ${name}`, run: ({ target }) => ask(unmounting(now()), target) },
  ]
}

function showWorkers({ time, status }) {
  const earlier = snapshots.findLast((snapshot) => snapshot.time <= time - 900)
  fill(
    'workers',
    status.workers.map(({ worker, state, started, requests }) => {
      const of = (snapshot) => snapshot?.status.workers.find((each) => each.worker === worker)
      const before = of(earlier)
      // Those of another process or thread began at nothing.
      const isKnown = before !== undefined && earlier.status.pid === status.pid && before.requests <= requests
      const perSecond = isKnown
        ? count(Math.round(rate(requests, before.requests, time - earlier.time)))
        : '–'
      return {
        key: String(worker),
        cells: [
          { label: 'Worker', text: String(worker) },
          { label: 'State', text: state, kind: state === 'serving' ? 'good' : 'draining' },
          { label: 'Runs for', text: started === undefined ? '–' : duration(time - started), kind: 'number' },
          { label: 'Requests', text: count(requests), kind: 'number' },
          { label: 'Requests per second', text: perSecond, kind: 'number' },
        ],
      }
    }),
  )
}

function showRestarts({ status: { restarts } }) {
  element('no-restarts').hidden = restarts.length > 0
  element('restarts').parentElement.hidden = restarts.length === 0
  const orDash = (value, shown = String) => (value === undefined ? '–' : shown(value))
  fill(
    'restarts',
    restarts.map((restart) => ({
      key: `${restart.at} ${restart.from}`,
      cells: [
        { label: 'When', text: clock.format(restart.at) },
        { label: 'From', text: String(restart.from), kind: 'number' },
        { label: 'To', text: orDash(restart.to), kind: 'number' },
        { label: 'Version', text: orDash(restart.version) },
        { label: 'Connections moved', text: orDash(restart.connections, count), kind: 'number' },
        { label: 'Nobody served for', text: orDash(restart.stall, milliseconds), kind: 'number' },
        { label: 'Followed later', text: orDash(restart.followed, count), kind: 'number' },
        restart.failed === undefined
          ? { label: 'Outcome', text: 'taken over', kind: 'good' }
          : { label: 'Outcome', text: `failed: ${restart.failed}`, kind: 'alarm' },
      ],
    })),
  )
}

// --- What is done ---

/** Says what has come of an action. */
function tell(text) {
  setText(element('outcome'), text)
}

function restarted({ to, version, connections, stall }) {
  return `Restarted: ${connectionCount(connections)} moved in ${milliseconds(stall)}. Process ${to}, version ${version}, serves now.`
}

const listed = (names) => (names.length === 0 ? 'none' : names.join(', '))

const reloading = {
  title: 'Reload the configuration?',
  button: 'Reload',
  text: () =>
    'The file is read again, and every handler is tried. If all is sound, all mounts are made anew, and what the file does not name is unmounted; otherwise nothing changes.',
  progress: 'The handlers are tried, then loaded.',
  path: 'reload',
  done: ({ mounted, replaced, unmounted }) =>
    `Reloaded. Mounted: ${listed(mounted)}. Replaced: ${listed(replaced)}. Unmounted: ${listed(unmounted)}.`,
}

const restarting = {
  title: 'Restart the server?',
  button: 'Restart',
  text: () =>
    `A new process takes over from process ${latest?.status.pid ?? '?'}, with its ${connectionCount(latest?.status.connectionStates.open ?? 0)}. No connection is closed and no request is lost. If the new process fails, this one serves on.`,
  progress: 'The new process loads the configuration and its handlers, then tries itself.',
  path: 'restart',
  done: ({ pid, ...report }) => restarted({ to: pid, ...report }),
}

const mounting = {
  title: 'Mount a handler',
  button: 'Mount',
  fields: { prefix: '/', host: '', module: '' },
  text: ({ prefix, host, module }) =>
    `Requests for ${mountName({ prefix, host }) || '…'} and all below it will go to ${module || '…'}, in all workers.`,
  progress: 'The handler is loaded in all workers.',
  path: 'mount',
  done: ({ mount }) => `Mounted ${mountName(mount)}, generation ${mount.generation}.`,
}

const replacing = (mount) => ({
  title: `Replace ${mountName(mount)}?`,
  button: 'Replace',
  mount,
  fields: { module: mount.module },
  text: ({ module }) =>
    `${mount.module} (generation ${mount.generation}) is replaced by ${module || '…'} with the options above; those that it has now are not kept. The requests in progress end where they are, and no request is missed.`,
  progress: 'The new handler is loaded in all workers; then the old one drains.',
  path: 'replace',
  done: ({ mount: { generation } }) => `Replaced ${mountName(mount)}: generation ${generation} serves now.`,
})

const unmounting = (mount) => ({
  title: `Unmount ${mountName(mount)}?`,
  button: 'Unmount',
  isDestructive: true,
  mount,
  text: () =>
    `Requests for ${mountName(mount)} will find nothing there, or what is mounted above it. The ${count(mount.references)} in progress may end.`,
  progress: 'It drains: requests in progress may end.',
  path: 'unmount',
  done: () => `Unmounted ${mountName(mount)}.`,
})

/** The action that the dialog asks for, and the button that it was opened by. */
let asked
let opener
let ticking

function ask(action, button) {
  asked = action
  opener = button
  setText(element('dialog-title'), action.title)
  setText(element('confirm'), action.button)
  element('confirm').classList.toggle('destructive', action.isDestructive === true)
  element('fields').hidden = action.fields === undefined
  element('prefix-field').hidden = action.mount !== undefined
  element('host-field').hidden = action.mount !== undefined
  for (const name of ['prefix', 'host', 'module', 'options'])
    element(name).value = action.fields?.[name] ?? ''
  setText(element('dialog-error'), '')
  busy(undefined)
  describe()
  element('dialog').showModal()
  // What cannot be undone is not what Enter does at once.
  if (action.isDestructive) element('cancel').focus()
  else if (action.fields === undefined) element('confirm').focus()
  else element(action.mount === undefined ? 'prefix' : 'module').focus()
}

const fieldValues = () =>
  Object.fromEntries(
    ['prefix', 'host', 'module', 'options'].map((name) => [name, element(name).value.trim()]),
  )

function describe() {
  setText(element('dialog-text'), asked.text(fieldValues()))
}

/** While something goes on, with how long it has; undefined when nothing does. */
function busy(progress) {
  clearInterval(ticking)
  const isBusy = progress !== undefined
  for (const control of element('form').elements) control.disabled = isBusy && control.id !== 'cancel'
  setText(element('cancel'), isBusy ? 'Close, and let it go on' : 'Cancel')
  setText(element('dialog-progress'), progress ?? '')
  if (!isBusy) return
  const began = Date.now()
  // Not read out each second: only what is seen.
  const seconds = document.createElement('span')
  seconds.setAttribute('aria-hidden', 'true')
  element('dialog-progress').append(seconds)
  ticking = setInterval(() => setText(seconds, ` ${duration(Date.now() - began)}`), 1000)
}

function bodyOf({ mount, fields }) {
  const { prefix, host, module, options } = fieldValues()
  const place = mount === undefined ? { prefix, host } : { prefix: mount.prefix, host: mount.host }
  const body = { confirm: true }
  if (mount !== undefined || fields !== undefined) {
    body.prefix = place.prefix
    if (place.host) body.host = place.host
  }
  if (fields !== undefined) body.spec = options === '' ? { module } : { module, options: parsed(options) }
  return body
}

function parsed(options) {
  try {
    return JSON.parse(options)
  } catch (error) {
    throw new Error(`The options are not JSON: ${error.message}`, { cause: error })
  }
}

async function send(path, body) {
  const response = await fetch(`${base}/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const text = await response.text()
  let answer
  try {
    answer = JSON.parse(text)
  } catch {
    throw new Error(`The answer cannot be understood (status ${response.status}): ${text.slice(0, 200)}`)
  }
  if (!response.ok)
    throw new Error(answer.error?.message ?? `The server answers with status ${response.status}.`)
  return answer
}

async function confirmed() {
  const action = asked
  const isShown = () => asked === action && element('dialog').open
  setText(element('dialog-error'), '')
  try {
    const body = bodyOf(action)
    busy(action.progress)
    const answer = await send(action.path, body)
    tell(action.done(answer))
    if (isShown()) element('dialog').close()
  } catch (error) {
    if (!isShown()) {
      tell(`${action.title} ${error.message}`)
      return
    }
    busy(undefined)
    setText(element('dialog-error'), error.message)
    element('confirm').focus()
  }
}

element('form').addEventListener('submit', (event) => {
  event.preventDefault()
  void confirmed()
})
element('form').addEventListener('input', describe)
element('cancel').addEventListener('click', () => element('dialog').close())
element('dialog').addEventListener('close', () => {
  busy(undefined)
  // The row of what was unmounted may be gone.
  if (opener?.isConnected) opener.focus()
  else element('mounts-title').focus()
  asked = undefined
})
element('reload').addEventListener('click', ({ target }) => ask(reloading, target))
element('restart').addEventListener('click', ({ target }) => ask(restarting, target))
element('mount').addEventListener('click', ({ target }) => ask(mounting, target))

// --- How it is kept up to date ---

function connect() {
  const source = new EventSource(`${base}/events`)
  source.addEventListener('snapshot', ({ data }) => {
    show(JSON.parse(data))
    say('Live', false)
  })
  source.addEventListener('trouble', ({ data }) => {
    say(`The server cannot tell its state: ${JSON.parse(data).message}`, true)
  })
  source.addEventListener('error', () => {
    // The end of a stream is no failure: a new process, or a new generation of this page, has the next one.
    const shown = setTimeout(
      () => say('The server cannot be reached. What is shown is from its last answer; trying again.', true),
      1500,
    )
    source.addEventListener('open', () => clearTimeout(shown), { once: true })
    if (source.readyState !== EventSource.CLOSED) return
    // A browser does not come back after an answer that is no stream, such as 401.
    setTimeout(() => {
      clearTimeout(shown)
      say('The server cannot be reached. What is shown is from its last answer; trying again.', true)
      connect()
    }, 1000)
  })
}
connect()
