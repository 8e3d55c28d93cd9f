/**
 * The machine's ceiling over loopback TCP: three OS processes, entries encoded once by the leader,
 * the same bytes sent, appended and synced by all; acknowledged when two of three are durable;
 * followers read from the socket straight into their ring, and parse after their ack. No consensus,
 * nothing from src. Options and frames are spike-memory's; `--wake` and `--follower-wake` say where
 * the log is synced: on its own thread, the event loop told by Atomics.waitAsync (async) or polling
 * (spin), or on the event loop itself (inline).
 *
 *     ring    | frame | frame | ... | frame up to the ring's end |   same offsets in all nodes
 *     ack     | i32 durable | i32 parsed |        in units of 64 B, as all counters
 */
import { fork } from 'node:child_process'
import * as fs from 'node:fs'
import { type AddressInfo, type Socket, connect, createServer } from 'node:net'
import { Worker, isMainThread, workerData } from 'node:worker_threads'
import { Generator, UNIT, fold } from './spike-memory.ts'
import { type Config, runAll } from './spike-options.ts'

type Report = { sum: number; entries: number; syncs: number; cpuS: number }
interface Log {
  readonly memory: SharedArrayBuffer
  readonly counters: Int32Array<SharedArrayBuffer>
  readonly fd: number
}

const [PUBLISHED, DURABLE, STOP, SYNCS] = [0, 32, 64, 96]

function newLog(config: Config, path: string): Log {
  const memory = new SharedArrayBuffer(+config['ring-bytes'])
  fs.writeFileSync(path, new Uint8Array(memory), { flush: true })
  const fd = fs.openSync(path, 'r+')
  return { memory, counters: new Int32Array(new SharedArrayBuffer(512)), fd }
}

/** Appends what is published, up to the ring's end: the file is the ring's image. */
function syncOnce({ memory, counters, fd }: Log): boolean {
  const done = Atomics.load(counters, DURABLE)
  const at = (done * UNIT) % memory.byteLength
  const pending = (Atomics.load(counters, PUBLISHED) - done) * UNIT
  const size = Math.min(pending, memory.byteLength - at)
  if (size === 0) return false
  fs.writeSync(fd, new Uint8Array(memory, at, size), 0, size, at)
  fs.fdatasyncSync(fd)
  counters[SYNCS]!++
  Atomics.store(counters, DURABLE, done + size / UNIT)
  Atomics.notify(counters, DURABLE)
  return true
}

function runLogThread(log: Log): void {
  while (Atomics.load(log.counters, STOP) === 0) {
    const seen = Atomics.load(log.counters, DURABLE)
    if (!syncOnce(log)) Atomics.wait(log.counters, PUBLISHED, seen, 50)
  }
}

/** Returns `kick`, to be called after publishing; `heard` is called when more is durable. */
function openLog(log: Log, wake: string, heard: () => void): () => void {
  if (wake === 'inline') return () => void (syncOnce(log) && heard())
  const { counters } = log
  new Worker(new URL(import.meta.url), { workerData: log })
  const watch = (): void => {
    const seen = Atomics.load(counters, DURABLE)
    heard()
    if (Atomics.load(counters, STOP) === 1) return
    const wait = wake === 'spin' ? undefined : Atomics.waitAsync(counters, DURABLE, seen, 50)
    if (wait?.async) void wait.value.then(watch)
    else setImmediate(watch)
  }
  setImmediate(watch)
  return () => void Atomics.notify(counters, PUBLISHED)
}

function runFollower(config: Config, path: string, port: number): void {
  const log = newLog(config, path)
  const [words, ring] = [new Int32Array(log.memory), log.memory.byteLength]
  let [received, published, acked, parsed, told] = [0, 0, 0, 0, 0]
  const result = { sum: 0, entries: 0, syncs: 0 }
  const wordAt = (units: number) => ((units * UNIT) % ring) / 4
  const ack = (): void => {
    socket.write(new Uint8Array(Int32Array.of(acked, (told = parsed)).buffer))
  }
  const kick = openLog(log, config['follower-wake'], () => {
    if (Atomics.load(log.counters, DURABLE) === acked) return
    acked = Atomics.load(log.counters, DURABLE)
    ack()
    while (parsed < acked) parsed += fold(words, wordAt(parsed), result)
    if (parsed - told > ring / UNIT / 4) ack()
  })
  const buffer = () => new Uint8Array(log.memory, received % ring)
  const callback = (bytes: number): boolean => {
    received += bytes
    for (;;) {
      const rest = received - published * UNIT
      if (rest < UNIT || words[wordAt(published)]! > rest) break
      published += words[wordAt(published)]! / UNIT
    }
    Atomics.store(log.counters, PUBLISHED, published)
    kick()
    return true
  }
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, onread: { buffer, callback } })
  process.once('message', () => {
    const { user, system } = process.cpuUsage()
    result.syncs = log.counters[SYNCS]!
    process.send!({ ...result, cpuS: (user + system) / 1e6 }, () => process.exit(0))
  })
  process.on('disconnect', () => process.exit(1))
}

async function lead(config: Config, log: Log, sockets: Socket[]) {
  const { counters, memory } = log
  const isInline = config.wake === 'inline'
  const generator = new Generator(config, memory)
  const acks = sockets.map(() => ({ durable: 0, parsed: 0 }))
  let [queued, kick, done] = [false, (): void => {}, (): void => {}]
  const finished = new Promise<void>((resolve) => (done = resolve))

  const submit = (): boolean => {
    const parsed = acks.map((ack) => ack.parsed)
    const frame = generator.encode(Math.min(Atomics.load(counters, DURABLE), ...parsed))
    if (frame === undefined) return false
    Atomics.store(counters, PUBLISHED, generator.published)
    if (!isInline) kick()
    for (const socket of sockets) socket.write(frame)
    return true
  }
  const pump = (): void => {
    const durable = [Atomics.load(counters, DURABLE), ...acks.map((ack) => ack.durable)]
    generator.settle(durable)
    if (!isInline) while (submit());
    else if (!queued && submit()) {
      queued = true
      setImmediate(() => ((queued = false), pump()))
      kick()
    }
    if (generator.isOver() && Math.min(...durable) === generator.published) done()
  }
  for (const [i, socket] of sockets.entries()) {
    let rest = Buffer.alloc(0)
    socket.on('data', (data: Buffer) => {
      rest = Buffer.concat([rest, data])
      const last = (rest.length & ~7) - 8
      if (last < 0) return
      acks[i] = { durable: rest.readInt32LE(last), parsed: rest.readInt32LE(last + 4) }
      rest = rest.subarray(last + 8)
      pump()
    })
  }
  kick = openLog(log, config.wake, pump)
  const timer = setInterval(pump, 50)
  pump()
  await finished
  clearInterval(timer)
  Atomics.store(counters, STOP, 1)
  Atomics.notify(counters, PUBLISHED)
  return { ...generator.report(), syncs: counters[SYNCS]! }
}

async function run(config: Config, dir: string): Promise<boolean> {
  const server = createServer({ noDelay: true })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  const sockets: Socket[] = []
  const linked = new Promise<void>((done) => {
    server.on('connection', (socket) => void (sockets.push(socket) === 2 && done()))
  })
  const log = newLog(config, `${dir}/0`)
  const children = [1, 2].map((id) => {
    const args = [JSON.stringify(config), `${dir}/${id}`, String(port)]
    return fork(new URL(import.meta.url), ['--follower', ...args])
  })
  await linked
  const leader = await lead(config, log, sockets)
  const followers = children.map((child) => {
    child.send('report')
    return new Promise<Report>((done) => child.once('message', (r) => done(r as Report)))
  })
  const reports = await Promise.all(followers)
  const same = reports.every((r) => r.sum === leader.sum && r.entries === leader.entries)
  const syncs = reports.reduce((total, r) => total + r.syncs, leader.syncs)
  const cores = reports.reduce((total, r) => total + r.cpuS / leader.elapsedS, leader.cores)
  console.log(JSON.stringify({ spike: 'tcp', config, ...leader, cores, syncs, same }))
  for (const socket of sockets) socket.destroy()
  server.close()
  fs.closeSync(log.fd)
  return same
}

if (!isMainThread) runLogThread(workerData as Log)
else if (process.argv[2] === '--follower')
  runFollower(JSON.parse(process.argv[3]!) as Config, process.argv[4]!, Number(process.argv[5]))
else await runAll(run)
