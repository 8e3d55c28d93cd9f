/**
 * The threads of the ring races. Each plays one role over shared memory, checks every word it
 * receives against a pattern that both sides compute, and posts its result when its count is done.
 */
import { parentPort, workerData } from 'node:worker_threads'
import * as bells from '../../src/ring/bell.ts'
import * as cells from '../../src/ring/cell-ring.ts'
import * as logs from '../../src/ring/log-ring.ts'
import { runAsync, threadTime } from '../../src/ring/wait.ts'
import { type Role, type Roles, patternOf, randomOf } from './ring-roles.ts'

const LONG_MS = 600_000 // a lost wake is a test that times out, never a hiccup

type Random = () => number
type Play<Name extends Role> = (role: Roles[Name]) => unknown

/** Sleeps on the bell until `poll` says true; the order that bell.ts prescribes. */
function until(bell: bells.Bell, poll: () => boolean): void {
  while (!poll()) {
    const seen = bells.prepareWait(bell)
    if (poll()) return bells.cancelWait(bell)
    bells.wait(bell, seen, LONG_MS)
  }
}

/** Moves the threads against each other, so that they meet in every order. */
function jitter(random: Random): void {
  for (let left = random() & 255; left > 0; left--) if (random() === -1) return
}

function check(condition: boolean, what: string): void {
  if (!condition) throw new Error(what)
}

// ---- Cell ring -------------------------------------------------------------------------------

const produceCells: Play<'produceCells'> = ({ memory, own, other, seed, count, burstMax }) => {
  const ring = cells.openCellRing(memory)
  const [bell, peer] = [bells.openBell(own), bells.openBell(other)]
  const random = randomOf(seed)
  for (let n = 0; n < count;) {
    const burst = Math.min(1 + (random() % burstMax), count - n)
    const parts = burst > 1 ? [1, burst - 1] : [burst]
    for (const part of parts) {
      until(bell, () => {
        if (cells.tryClaim(ring, part)) return true
        if (ring.claimed > 0) publishCells(ring, peer) // never waits on cells it holds back
        return false
      })
      for (let i = ring.claimed - part; i < ring.claimed; i++, n++) {
        const base = cells.claimedBase(ring, i)
        for (let word = 0; word < cells.CELL_WORDS; word++)
          ring.words[base + word] = patternOf(seed, n, word)
      }
    }
    publishCells(ring, peer)
    if ((random() & 7) === 0) jitter(random)
  }
  return { ...bells.bellStatisticsOf(bell), ...cells.statisticsOf(ring) }
}

function publishCells(ring: cells.CellRing, peer: bells.Bell): void {
  cells.publish(ring)
  bells.ring(peer)
}

const consumeCells: Play<'consumeCells'> = ({ memory, own, other, seed, count }) => {
  const ring = cells.openCellRing(memory)
  const [bell, peer] = [bells.openBell(own), bells.openBell(other)]
  const random = randomOf(seed + 1)
  for (let n = 0; n < count;) {
    until(bell, () => cells.available(ring) > 0)
    const take = 1 + (random() % cells.available(ring))
    for (let i = 0; i < take; i++, n++) {
      const base = cells.cellBase(ring, i)
      for (let word = 0; word < cells.CELL_WORDS; word++)
        check(ring.words[base + word] === patternOf(seed, n, word), `cell ${n} word ${word}`)
    }
    cells.consume(ring, take)
    bells.ring(peer)
    if ((random() & 7) === 0) jitter(random)
  }
  check(cells.available(ring) === 0, 'nothing behind the last cell')
  return bells.bellStatisticsOf(bell)
}

// ---- Log ring: writer -> decider -> reader -> decider ----------------------------------------

const writeFrames: Play<'writeFrames'> = ({ log, out, own, other, seed, count, sizeMax }) => {
  const ring = logs.openLogRing(log)
  const cell = cells.openCellRing(out)
  const [bell, peer] = [bells.openBell(own), bells.openBell(other)]
  const random = randomOf(seed)
  for (let n = 0; n < count;) {
    const claimBytes = 1 + (random() % sizeMax)
    let offset = -1
    until(bell, () => (offset = logs.tryClaim(ring, claimBytes)) >= 0)
    const units = Math.ceil(claimBytes / logs.UNIT_SIZE_BYTES)
    const size = (random() % (units + 1)) * logs.UNIT_SIZE_BYTES // 0 abandons
    for (let word = 0; word < size / 4; word++)
      ring.words[offset / 4 + word] = patternOf(seed, n, word) | 0
    const end = logs.publish(ring, size)
    if (size === 0) continue
    until(bell, () => cells.tryClaim(cell, 1))
    const base = cells.claimedBase(cell, 0)
    cell.words.set([n, offset, size, end], base)
    publishCells(cell, peer)
    n++
  }
  return { ...bells.bellStatisticsOf(bell), ...logs.statisticsOf(ring) }
}

/** The decision loop: hands descriptors on, and frees bytes when the reader reported them. */
const decideFrames: Play<'decideFrames'> = (role) => {
  const { log, input, orders, reports, own, writer, reader, count } = role
  const ring = logs.openLogRing(log)
  const [from, to, back] = [input, orders, reports].map(cells.openCellRing)
  const [bell, writerBell, readerBell] = [own, writer, reader].map(bells.openBell)
  for (let handed = 0, freed = 0; freed < count;) {
    until(bell!, () => {
      let work = 0
      while (cells.available(from!) > 0 && cells.tryClaim(to!, 1)) {
        const [base, source] = [cells.claimedBase(to!, 0), cells.cellBase(from!, 0)]
        check(from!.words[source] === handed, `descriptor ${handed}`)
        to!.words.set(from!.words.subarray(source, source + 4), base)
        cells.consume(from!, 1)
        publishCells(to!, readerBell!)
        handed++
        work++
      }
      const done = cells.available(back!)
      if (done > 0) {
        const base = cells.cellBase(back!, done - 1)
        freed += done
        logs.release(ring, back!.words[base]!)
        cells.consume(back!, done)
        bells.ring(readerBell!)
        work++
      }
      if (work > 0) bells.ring(writerBell!)
      return work > 0
    })
  }
  check(logs.occupancyBytes(ring) === 0, 'everything is free at the end')
  return bells.bellStatisticsOf(bell!)
}

const readFrames: Play<'readFrames'> = ({ log, orders, reports, own, other, seed, count }) => {
  const ring = logs.openLogRing(log)
  const [input, output] = [cells.openCellRing(orders), cells.openCellRing(reports)]
  const [bell, peer] = [bells.openBell(own), bells.openBell(other)]
  const random = randomOf(seed + 2)
  let totalBytes = 0
  for (let n = 0; n < count; n++) {
    until(bell, () => cells.available(input) > 0)
    const base = cells.cellBase(input, 0)
    const [frame, offset, size, end] = input.words.subarray(base, base + 4)
    check(frame === n, `frame ${n}`)
    cells.consume(input, 1)
    for (let word = 0; word < size! / 4; word++)
      check(
        ring.words[offset! / 4 + word] === (patternOf(seed, n, word) | 0),
        `frame ${n} word ${word}`,
      )
    totalBytes += size!
    until(bell, () => cells.tryClaim(output, 1))
    output.words[cells.claimedBase(output, 0)] = end!
    publishCells(output, peer)
    if ((random() & 15) === 0) jitter(random)
  }
  return { ...bells.bellStatisticsOf(bell), totalBytes }
}

// ---- Bell ------------------------------------------------------------------------------------

/** One of several clients of an echo: a small burst, then it waits for all the echoes. */
const callEcho: Play<'callEcho'> = ({ request, answer, own, echo, seed, count }) => {
  const [out, back] = [cells.openCellRing(request), cells.openCellRing(answer)]
  const [bell, peer] = [bells.openBell(own), bells.openBell(echo)]
  const random = randomOf(seed)
  for (let n = 0; n < count;) {
    const burst = Math.min(1 + (random() & 1), count - n)
    for (let i = 0; i < burst; i++) {
      check(cells.tryClaim(out, 1), 'an echo ring has room')
      out.words[cells.claimedBase(out, 0)] = n + i
      publishCells(out, peer)
    }
    for (let i = 0; i < burst; i++, n++) {
      until(bell, () => cells.available(back) > 0)
      check(back.words[cells.cellBase(back, 0)] === n, `echo ${n}`)
      cells.consume(back, 1)
    }
    jitter(random)
  }
  return bells.bellStatisticsOf(bell)
}

interface EchoRings {
  readonly requests: readonly cells.CellRing[]
  readonly answers: readonly cells.CellRing[]
  readonly clients: readonly bells.Bell[]
}

const openEcho = ({ requests, answers, clients }: Roles['echo']): EchoRings => ({
  requests: requests.map(cells.openCellRing),
  answers: answers.map(cells.openCellRing),
  clients: clients.map(bells.openBell),
})

function echoCycle({ requests, answers, clients }: EchoRings): number {
  let work = 0
  requests.forEach((input, client) => {
    const output = answers[client]!
    if (cells.available(input) === 0 || !cells.tryClaim(output, 1)) return
    output.words[cells.claimedBase(output, 0)] = input.words[cells.cellBase(input, 0)]!
    cells.consume(input, 1)
    publishCells(output, clients[client]!)
    work++
  })
  return work
}

const echo: Play<'echo'> = (role) => {
  const rings = openEcho(role)
  const bell = bells.openBell(role.own)
  let echoed = 0
  while (echoed < role.count) {
    until(bell, () => {
      const work = echoCycle(rings)
      echoed += work
      return work > 0 // any work: a poll that left some behind must not sleep on it
    })
  }
  return bells.bellStatisticsOf(bell)
}

const echoAsync: Play<'echoAsync'> = async (role) => {
  const rings = openEcho(role)
  const bell = bells.openBell(role.own)
  let echoed = 0
  const { done } = runAsync({
    cycle: () => {
      const work = echoCycle(rings)
      echoed += work
      return work
    },
    bell,
    halted: () => echoed >= role.count,
    cyclesPerTurnMax: 2,
    timeoutMs: LONG_MS,
    now: () => performance.now(),
    time: threadTime(),
  })
  await done
  return bells.bellStatisticsOf(bell)
}

// ---- Entry -----------------------------------------------------------------------------------

const PLAYS: { readonly [Name in Role]: Play<Name> } = {
  produceCells,
  consumeCells,
  writeFrames,
  decideFrames,
  readFrames,
  callEcho,
  echo,
  echoAsync,
}

const { name, role } = workerData as { name: Role; role: never }
parentPort!.postMessage(await PLAYS[name](role))
