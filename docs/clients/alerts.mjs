// Every alert of a monitor, each once and in order, kept as a line of JSON at the end of FILE:
//     npm install zeromq@6 && node alerts.mjs FILE [tcp://HOST:PORT [KEYS]]
// KEYS is a folder as `ecg-monitor keys init` makes it: client.secret and server.public are read.
// A line holds an alert and the position behind it, so the two cannot disagree, whenever this program is
// killed. The rules are those of docs/PROTOCOL.md, "Never missing one"; alerts.c follows them, line for line.
import fs from "node:fs"
import { Dealer, Subscriber } from "zeromq"

process.on("uncaughtException", (error) => { console.error(`alerts.mjs: ${error.message}`); process.exit(1) })
const [path, endpoint = "tcp://127.0.0.1:5571", keys] = process.argv.slice(2)
if (!path) throw new Error("usage: node alerts.mjs FILE [ENDPOINT [KEYS]]")
const options = { reconnectInterval: 100, heartbeatInterval: 2000, maxMessageSize: 8 << 20, linger: 0 }
if (keys) {
  [options.curvePublicKey, options.curveSecretKey] = fs.readFileSync(`${keys}/client.secret`, "utf8").split("\n")
  options.curveServerKey = fs.readFileSync(`${keys}/server.public`, "utf8").trim()
}
const alerts = new Subscriber(options), requests = new Dealer({ ...options, immediate: true, sendTimeout: 0 })
const journals = {} // by origin: the position in each journal, `had` how often each alert, `again` what may come again
let at = {}, inDoubt = true, lines = [], askedMs = -Infinity, heardMs = performance.now()

function move(line) { // goes where a line of FILE says, at the start as later
  lines.push(line)
  if (!line.origin) return // an alert without a number: the monitor's journal cannot be written
  at = journals[line.origin] ??= { origin: line.origin, had: new Map(), again: new Map() }
  Object.assign(at, { journal: line.journal, seq: line.seq, id: line.id })
  const count = (map, by) => map.set(line.id, (map.get(line.id) ?? 0) + by)
  if (line.message) count(at.had, 1)
  if (line.was_had) count(at.again, -1)
  if (line.went_back) at.again = new Map(at.had)
}
function take(m) { // the alert that comes next; one that came again from a restored copy is not kept again
  if (m.seq !== at.seq + 1) return
  const position = { origin: at.origin, journal: at.journal, seq: m.seq, id: m.id }
  move(at.again.get(m.id) > 0 ? { ...position, was_had: true } : { ...position, message: m })
}
function ask() {
  if (performance.now() - askedMs < 1000) return // while no answer comes
  askedMs = performance.now()
  const question = { type: "replay", after: at.seq ?? 0, journal: at.journal, id: at.id }
  requests.send(JSON.stringify(question)).catch(() => {}) // nobody is there: asked again at the next message
}
// After a new connection, or a silence in which one could come and its event still be on the way.
const doubtful = (m) => (inDoubt ||= performance.now() - heardMs > 2000) || m.journal !== at.journal
const handle = {
  __proto__: null, // no type of a message names what all objects have
  numbered(m) {
    if (m.seq === 0) move({ message: m })
    else if (doubtful(m) || m.seq > at.seq + 1) ask()
    else take(m)
  },
  status(s) {
    if (doubtful(s) || s.newest_seq !== at.seq) ask()
    heardMs = performance.now()
  },
  page(p) {
    askedMs = -Infinity
    const origin = p.origin || p.journal
    if (origin !== at.origin) { // another journal: on where it was left, or at its beginning
      at = journals[origin] ?? { origin, journal: p.journal, seq: 0, id: "", again: new Map() }
      return ask()
    }
    const before = at.seq, position = { origin: at.origin, journal: p.journal, seq: at.seq, id: at.id }
    inDoubt = false
    if (!(p.continues ?? p.newest_seq >= at.seq)) { // an older copy was restored: all is read again, and what was had passed over
      console.error(`the journal went back behind alert ${at.seq}`)
      move({ ...position, seq: 0, id: "", went_back: true })
    } else if (p.journal !== at.journal) move(position) // the same by another name
    if (p.oldest_seq > at.seq + 1) move({ ...position, seq: p.oldest_seq - 1, id: "", truncated: true })
    p.messages.forEach(take)
    if (at.seq !== before && p.newest_seq > at.seq) ask()
  },
  refused: (r) => console.error(`refused: ${r.text}`),
}
handle.alert = handle.technical = handle.numbered

async function hear(socket) {
  for await (const frames of socket) {
    let m
    try { m = JSON.parse(frames.at(-1)) } catch { continue } // none of the monitor's
    handle[m?.type]?.(m)
    const kept = lines.splice(0)
    if (!kept.length) continue
    fs.appendFileSync(file, kept.map((line) => JSON.stringify(line) + "\n").join(""))
    fs.fdatasyncSync(file) // the alerts are handled: what else is done with them comes after this line
    for (const { message: m } of kept) if (m) console.log(m.seq, m.patient, m.time_s, m.kind ?? m.event, m.state)
  }
}
const file = fs.openSync(path, "a+"), said = fs.readFileSync(path)
fs.ftruncateSync(file, said.lastIndexOf("\n") + 1) // a line that was being written when it was killed
said.toString().split("\n").slice(0, -1).forEach((line) => move(JSON.parse(line)))
lines = []
alerts.events.on("handshake", () => (inDoubt = true)) // whoever is there now may have another journal
alerts.connect(endpoint)
requests.connect(endpoint.startsWith("ipc:") ? `${endpoint}.requests` : endpoint.replace(/\d+$/, (port) => +port + 1))
alerts.subscribe("alert.", "technical.", "status")
setInterval(() => {
  const silentS = Math.round((performance.now() - heardMs) / 1000)
  if (silentS >= 3) console.error(`no heartbeat for ${silentS} s: nobody judges, or nobody is heard`)
}, 1000)
await Promise.all([hear(alerts), hear(requests)])
