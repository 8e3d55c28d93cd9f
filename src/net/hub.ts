/**
 * What a node's links do, over any kind of socket: dial, shake hands, move bytes between sockets
 * and the peers' sessions (session.ts), time out, dial again. The lower id dials the higher one.
 * Everything that a stranger can send ends in a closed socket and a typed event, never in a throw.
 *
 * Runs on the thread of the sockets. Callbacks move bytes only; time-outs and dials happen in
 * doWork. Sockets come from tcp-link.ts, the one file that may make them.
 */
import { nextRandom } from './delay.ts'
import {
  decodeHandshake,
  encodeHandshake,
  type Handshake,
  HANDSHAKE_SIZE_BYTES,
  HELLO,
  WELCOME,
} from './handshake.ts'
import { type Connection, createConnection, type Hub, type HubSocket } from './hub-state.ts'
import type { Route } from './hub-state.ts'
import type { DownReason, LinkEvent, PeerLink, RefusedReason } from './link.ts'
import {
  deliverControls,
  endSession,
  flushTo,
  openSession,
  receiveFrom,
  releaseSession,
  sendTo,
  skipTo,
} from './session.ts'

const PENDING_MAX = 64
const STALL_RETRY_MS = 1
/** More than any process ever had; a stranger's one hello must not use up all numbers there are. */
const SESSION_JUMP_MAX = 2 ** 32

export function linkOf(hub: Hub, route: Route): PeerLink {
  const { peer } = route
  return {
    send(words, base, payload, ticket) {
      if (!sendTo(peer, words, base, payload, ticket)) return false
      if (peer.isUp) {
        hub.counters.messagesSent++
        hub.counters.bytesSent += HANDSHAKE_SIZE_BYTES + (payload?.length ?? 0)
      }
      return true
    },
    get up() {
      return peer.isUp
    },
    get session() {
      return peer.session
    },
    get sentTicket() {
      return peer.sentTicket
    },
    reset(ticket) {
      if (route.candidate !== null) shut(hub, route.candidate, 'local')
      if (route.current !== null) shut(hub, route.current, 'local')
      skipTo(peer, ticket)
    },
    close() {
      route.isClosed = true
      if (route.candidate !== null) shut(hub, route.candidate, 'local')
      if (route.current !== null) shut(hub, route.current, 'local')
    },
  }
}

// ---- Duty cycle ------------------------------------------------------------------------------

export function doWork(hub: Hub): number {
  if (hub.isClosed) return 0
  const now = hub.now()
  forgiveBlocking(hub, now)
  let count = 0
  for (const route of hub.routes.values()) {
    count += flushTo(route.peer) + retry(hub, route, now)
    const mayDial = route.isDialer && route.port > 0 && !route.isClosed
    if (mayDial && route.current === null && now >= route.dialAtMs) {
      dial(hub, route, now)
      count++
    }
  }
  for (const connection of hub.connections) count += checkTime(hub, connection, now)
  return count
}

/** When this thread was blocked, bytes may wait unread: its silence is not the peer's. */
function forgiveBlocking(hub: Hub, now: number): void {
  const blockedMs = now - hub.workedMs
  hub.workedMs = now
  if (blockedMs < hub.idleTimeoutMs / 2) return
  for (const connection of hub.connections) connection.heardMs += blockedMs
}

/** Control cells and bytes that found no room before. */
function retry(hub: Hub, route: Route, now: number): number {
  const { peer, current } = route
  const controls = deliverControls(peer, now)
  if (controls > 0) hub.options.onDelivered?.(peer.id)
  if (peer.held === null || current === null) return controls
  const before = peer.heldAt
  receive(hub, current, route, null, now)
  return controls + (peer.held === null || peer.heldAt > before ? 1 : 0)
}

function checkTime(hub: Hub, connection: Connection, now: number): number {
  if (connection.isPaused || now - connection.heardMs <= hub.idleTimeoutMs) return 0
  if (connection.state === 'up') {
    hub.counters.idles++
    shut(hub, connection, 'idle')
  } else if (connection.state === 'handshake') {
    if (connection.isDialed) shut(hub, connection, 'idle')
    else refuse(hub, connection, 'handshake-timeout', 0)
  } else return 0
  return 1
}

// ---- Connections -----------------------------------------------------------------------------

/** Where a peer is that came later, or has moved; it is dialed at once. False: no such peer. */
export function setAddress(
  hub: Hub,
  { id, host, port }: { readonly id: number; readonly host: string; readonly port: number },
): boolean {
  const route = hub.routes.get(id)
  if (route === undefined) return false
  route.host = host
  route.port = port
  route.attempts = 0
  route.dialAtMs = -Infinity
  return true
}

function dial(hub: Hub, route: Route, now: number): void {
  const socket = hub.connect(route.host, route.port)
  const connection = track(hub, socket, route, now)
  route.current = connection
  route.proposed = Math.max(route.proposed, route.peer.session) + 1
  const to = route.peer.id
  const { cluster } = hub
  const session = route.proposed
  socket.write(encodeHandshake({ kind: HELLO, to, cluster, session, ...selfOf(hub) }))
}

/** Somebody connected. */
export function accept(hub: Hub, socket: HubSocket): void {
  const connection = track(hub, socket, null, hub.now())
  let pending = 0
  for (const { isDialed, state } of hub.connections)
    if (!isDialed && state === 'handshake') pending++
  if (hub.isClosed || pending > PENDING_MAX) refuse(hub, connection, 'too-many', 0)
}

function track(hub: Hub, socket: HubSocket, route: Route | null, now: number): Connection {
  const connection = createConnection(socket, route, now)
  hub.connections.add(connection)
  hub.attach(socket, {
    onData: (chunk) => onData(hub, connection, chunk),
    onError: (errno) => (connection.problem = errno),
    onEnd: () => shut(hub, connection, 'closed'),
    onClose: () => onClose(hub, connection),
  })
  return connection
}

/** Ends a connection from our side; its socket closes later, and onClose frees what it holds. */
export function shut(hub: Hub, connection: Connection, reason: DownReason): void {
  const { route, state } = connection
  if (state === 'gone') return
  connection.state = 'gone'
  if (route?.candidate === connection) route.candidate = null
  if (connection.problem === '') connection.problem = reason
  if (state === 'up') {
    const { peer } = route!
    endSession(peer)
    hub.counters.downs++
    emit(hub, { kind: 'down', peer: peer.id, session: peer.session, reason })
    if (deliverControls(peer, hub.now()) > 0) hub.options.onDelivered?.(peer.id)
  }
  connection.socket.destroy()
}

function refuse(hub: Hub, connection: Connection, reason: RefusedReason, from: number): void {
  connection.problem = reason
  hub.counters.refused++
  emit(hub, { kind: 'refused', reason, from })
  shut(hub, connection, 'local')
}

function onClose(hub: Hub, connection: Connection): void {
  shut(hub, connection, connection.problem === '' ? 'closed' : 'error')
  hub.connections.delete(connection)
  const { route } = connection
  if (route === null) return
  if (route.current !== connection) return
  route.current = null
  if (route.peer.outbox !== null) releaseSession(route.peer)
  else if (connection.isDialed) {
    hub.counters.dialsFailed++
    emit(hub, { kind: 'dial-failed', peer: route.peer.id, reason: connection.problem })
  }
  if (route.isDialer) route.dialAtMs = hub.now() + backOff(hub, route)
  const { candidate } = route
  route.candidate = null
  if (candidate !== null && !hub.isClosed) welcome(hub, route, candidate)
}

function backOff(hub: Hub, route: Route): number {
  const scaled = hub.reconnectMinMs * 2 ** Math.min(route.attempts++, 20)
  return Math.min(hub.reconnectMaxMs, scaled) * (0.5 + 0.5 * nextRandom(hub.chance))
}

// ---- Bytes -----------------------------------------------------------------------------------

function onData(hub: Hub, connection: Connection, chunk: Uint8Array): void {
  if (connection.state === 'gone') return
  const now = hub.now()
  if (connection.state === 'waiting') return refuse(hub, connection, 'handshake-invalid', 0)
  let rest = chunk
  if (connection.state === 'handshake') {
    const count = Math.min(HANDSHAKE_SIZE_BYTES - connection.handshakeFilled, chunk.length)
    connection.handshake.set(chunk.subarray(0, count), connection.handshakeFilled)
    connection.handshakeFilled += count
    if (connection.handshakeFilled < HANDSHAKE_SIZE_BYTES) return
    rest = chunk.subarray(count)
    if (connection.isDialed) onWelcome(hub, connection)
    else if (rest.length > 0) return refuse(hub, connection, 'handshake-invalid', 0)
    else return onHello(hub, connection)
  }
  connection.heardMs = now
  if (connection.state === 'up' && rest.length > 0)
    receive(hub, connection, connection.route!, rest, now)
}

function receive(
  hub: Hub,
  connection: Connection,
  { peer }: Route,
  chunk: Uint8Array | null,
  now: number,
): void {
  const reader = peer.reader
  if (reader === null) return
  const before = reader.messageCount
  const isTaken = receiveFrom(peer, chunk, now)
  const count = reader.messageCount - before
  hub.counters.messagesReceived += count
  if (chunk !== null) hub.counters.bytesReceived += chunk.length
  if (count > 0) hub.options.onDelivered?.(peer.id)
  if (reader.problem !== undefined) {
    hub.counters.framesInvalid++
    emit(hub, { kind: 'frame-invalid', peer: peer.id, problem: reader.problem })
    return shut(hub, connection, 'frame-invalid')
  }
  if (!isTaken) return pause(hub, connection)
  if (!connection.isPaused) return
  connection.isPaused = false
  connection.heardMs = now // we did not listen, so silence proves nothing
  connection.socket.resume()
}

function pause(hub: Hub, connection: Connection): void {
  if (!connection.isPaused) {
    connection.isPaused = true
    connection.socket.pause()
    hub.counters.pauses++
  }
  hub.stallTimer ??= setTimeout(() => {
    hub.stallTimer = undefined
    doWork(hub)
  }, STALL_RETRY_MS)
}

// ---- Handshake -------------------------------------------------------------------------------

function onHello(hub: Hub, connection: Connection): void {
  const hello = checkHandshake(hub, connection, HELLO)
  if (hello === null) return
  const route = hub.routes.get(hello.from)
  if (route === undefined || route.isClosed)
    return refuse(hub, connection, 'unknown-peer', hello.from)
  if (route.isDialer) return refuse(hub, connection, 'direction', hello.from)
  if (hello.session > route.peer.session + SESSION_JUMP_MAX)
    return refuse(hub, connection, 'handshake-invalid', hello.from)
  const rival = (route.candidate ?? route.current)?.hello
  const isStale = rival?.nonce === hello.nonce && hello.session <= rival.session
  if (isStale) return refuse(hub, connection, 'stale-session', hello.from)
  connection.hello = hello
  connection.route = route
  if (route.candidate !== null) shut(hub, route.candidate, 'replaced')
  if (route.current === null) return welcome(hub, route, connection)
  connection.state = 'waiting'
  route.candidate = connection
  shut(hub, route.current, 'replaced')
}

function welcome(hub: Hub, route: Route, connection: Connection): void {
  const hello = connection.hello!
  const session = Math.max(hello.session, route.peer.session + 1)
  const { cluster } = hub
  const to = hello.from
  route.current = connection
  const answer = { kind: WELCOME, to, cluster, session, ...selfOf(hub) } as const
  connection.socket.write(encodeHandshake(answer))
  start(hub, route, connection, { ...hello, session })
}

function onWelcome(hub: Hub, connection: Connection): void {
  const route = connection.route!
  const answer = checkHandshake(hub, connection, WELCOME)
  if (answer === null) return
  if (answer.from !== route.peer.id) return refuse(hub, connection, 'wrong-target', answer.from)
  if (answer.session < route.proposed) return refuse(hub, connection, 'stale-session', answer.from)
  start(hub, route, connection, answer)
}

function checkHandshake(
  hub: Hub,
  connection: Connection,
  kind: typeof HELLO | typeof WELCOME,
): Handshake | null {
  const shake = decodeHandshake(connection.handshake, kind)
  if (typeof shake === 'string') {
    refuse(hub, connection, shake, 0)
    return null
  }
  const reason = refusalOf(hub, shake)
  if (reason === null) return shake
  const isMembers = reason === 'history' || reason === 'durability'
  if (isMembers && kind === HELLO) tellOurs(hub, connection, shake, reason)
  else refuse(hub, connection, reason, shake.from)
  return null
}

/** A member that differs is told how we are, so that its people hear of it too, and hangs up. */
function tellOurs(
  hub: Hub,
  connection: Connection,
  { from: to, session }: Handshake,
  reason: RefusedReason,
): void {
  hub.counters.refused++
  emit(hub, { kind: 'refused', reason, from: to })
  const answer = { kind: WELCOME, to, cluster: hub.cluster, session, ...selfOf(hub) } as const
  connection.socket.write(encodeHandshake(answer))
}

function refusalOf({ cluster, options, routes }: Hub, shake: Handshake): RefusedReason | null {
  if (shake.cluster !== cluster) return 'cluster'
  if (shake.to !== options.self) return 'wrong-target'
  if (shake.history !== (options.history ?? 0)) return 'history'
  if (shake.durability !== (options.durability ?? 0)) return 'durability'
  const before = routes.get(shake.from)?.peer.nonce ?? 0
  const isRestarted = before !== 0 && before !== shake.nonce
  return options.forgets === true && isRestarted ? 'lost-disk' : null
}

/** What this node says of itself in a handshake. */
function selfOf({ options }: Hub) {
  const { self: from, incarnation, nonce, history = 0, durability = 0 } = options
  return { from, incarnation, nonce, history, durability }
}

function start(hub: Hub, route: Route, connection: Connection, shake: Handshake): void {
  const { peer } = route
  connection.state = 'up'
  connection.heardMs = hub.now()
  route.attempts = 0
  openSession(peer, connection.socket, shake, hub.bytesMax)
  hub.counters.ups++
  if (deliverControls(peer, connection.heardMs) > 0) hub.options.onDelivered?.(peer.id)
  emit(hub, { kind: 'up', peer: peer.id, session: peer.session })
}

const emit = (hub: Hub, event: LinkEvent): void => hub.options.onEvent?.(event)
