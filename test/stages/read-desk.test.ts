/** Questions at the apply stage: when they are asked, and when their answers count. */
import { expect, test } from 'vitest'
import type { StateMachine } from '../../src/base/state-machine.ts'
import { publish, release, tryClaim } from '../../src/ring/log-ring.ts'
import { leaseLifeOf, leaseMemory, openLease, writeLease } from '../../src/ring/lease.ts'
import * as cell from '../../src/stages/cells.ts'
import * as reads from '../../src/stages/read-cells.ts'
import { createReadDesk } from '../../src/stages/read-desk.ts'
import { flush } from '../../src/stages/port.ts'
import { cellRing, cellsOf, logRing, order, port } from '../support/engine-cells.ts'

function open(answerRingBytes = 2 ** 22) {
  const queries = cellRing()
  const answers = cellRing()
  const queryBytes = logRing()
  const answerBytes = logRing(answerRingBytes)
  const lease = openLease(leaseMemory())
  /** A query takes so long. */
  const clock = { now: 0, wall: 0, tookMs: 0 }
  const asked: string[] = []
  const stateMachine = {
    query: (question: Uint8Array) => {
      asked.push(new TextDecoder().decode(question))
      clock.now += clock.tookMs
      return question
    },
  } as unknown as StateMachine
  const answerPort = port(answers)
  const desk = createReadDesk({
    ...{ stateMachine, queries, queryBytes, lease, forgetMs: 1_000 },
    answers: { port: answerPort, bytes: answerBytes },
    nowMs: () => clock.now,
    wallMs: () => clock.wall,
  })
  const toDesk = port(queries)
  const ask = (id: number, questions: readonly string[], index = -1): void => {
    const items = questions.map((one) => new TextEncoder().encode(one))
    const sum = items.reduce((size, item) => size + reads.itemSizeOf(item.length), 0)
    const size = Math.ceil(sum / 64) * 64
    const offset = tryClaim(queryBytes, size)
    let at = offset
    items.forEach((bytes, place) => {
      at = reads.writeItem(queryBytes, at, { place, code: 0, bytes })
    })
    const end = publish(queryBytes, size)
    order(toDesk, [reads.QUERIES, id, size, items.length, 0, offset, end, index])
  }
  const tell = (...values: number[]): boolean => desk.onOrder(Float64Array.from(values), 0)
  /** `id@index:answers`, or `id!reason`. */
  const answered = (): string[] => {
    const found: string[] = []
    for (const words of cellsOf(answers)) {
      const texts: string[] = []
      const [offset, count] = [words[cell.AT_OFFSET]!, words[cell.AT_FRAMES]!]
      reads.readItems(answerBytes, offset, count, (place, code, bytes) => {
        texts.push(`${place}${code === 0 ? '=' : '!'}${new TextDecoder().decode(bytes)}`)
      })
      if (words[2]! > 0) release(answerBytes, words[6]!)
      const failure = reads.failureOfCode(words[8]!)
      const [id, index] = [words[1]!, words[7]!]
      found.push(failure === null ? `${id}@${index}:${texts.join()}` : `${id}!${failure}`)
    }
    return found
  }
  /** `taken`: where frames of an open group end. */
  const work = (applied: number, taken = applied): string[] => {
    desk.doWork(applied, taken)
    flush(answerPort)
    return answered()
  }
  return { desk, lease, clock, asked, ask, tell, work }
}

test('a question is asked when its index is applied, never before', () => {
  const { ask, tell, work, asked } = open()
  ask(1, ['a', 'b'])
  expect(work(5)).toEqual([])
  tell(reads.READ_AT, 1, 7, 0)
  expect(work(6)).toEqual([])
  expect(asked).toEqual([])
  expect(work(8)).toEqual(['1@8:0=a,1=b'])
  expect(work(9)).toEqual([])
})

test('an index within an open group is not waited for, the index of a token is', () => {
  const { ask, tell, work } = open()
  ask(1, ['a'])
  tell(reads.READ_AT, 1, 7, 0)
  ask(2, ['b'], 7)
  expect(work(4, 6)).toEqual([])
  expect(work(4, 9)).toEqual(['1@4:0=a'])
  expect(work(9)).toEqual(['2@9:0=b'])
})

test('a session brings its own index and needs no word of decide', () => {
  const { ask, work } = open()
  ask(1, ['a'], 3)
  ask(2, ['b'], 5)
  expect(work(4)).toEqual(['1@4:0=a'])
  expect(work(5)).toEqual(['2@5:0=b'])
})

test('an index that arrives with its question still in the ring finds it', () => {
  const { ask, tell, work } = open()
  ask(1, ['a'])
  tell(reads.READ_AT, 1, 0, 0)
  ask(2, ['b'])
  tell(reads.READ_REFUSED, 2, reads.codeOfFailure('late'))
  expect(work(1).sort()).toEqual(['1@1:0=a', '2!late'])
  expect(tell(reads.READ_AT, 3, 0, 0)).toBe(true) // forgotten, or never there
  expect(tell(cell.APPLY, 3, 0, 0)).toBe(false)
  expect(work(1)).toEqual([])
})

test('by lease an answer counts only if the lease is valid after the value was read (R34)', () => {
  const { ask, tell, work, lease, clock, asked } = open()
  writeLease(lease, 100, 1_000)
  const life = leaseLifeOf(lease)
  for (const id of [1, 2, 3, 4]) ask(id, [`q${id}`])
  tell(reads.READ_AT, 1, 0, life)
  expect(work(1)).toEqual(['1@1:0=q1'])
  tell(reads.READ_AT, 2, 0, life)
  clock.tookMs = 100
  expect(work(1)).toEqual(['2!lease-lost'])
  expect(asked).toEqual(['q1', 'q2']) // it was read, and does not count
  Object.assign(clock, { now: 50, tookMs: 0 })
  clock.wall = 1_000 // the machine slept: only the wall knows
  tell(reads.READ_AT, 3, 0, life)
  expect(work(1)).toEqual(['3!lease-lost'])
  clock.wall = 0
  writeLease(lease, 0, 0)
  writeLease(lease, 200, 2_000)
  tell(reads.READ_AT, 4, 0, life) // of the last lease: others may have led since
  expect(work(1)).toEqual(['4!lease-lost'])
})

test('what nobody waits for any more is forgotten', () => {
  const { ask, tell, work, clock } = open()
  ask(1, ['a'])
  ask(2, ['b'], 9)
  work(1)
  clock.now = 1_000
  work(1)
  tell(reads.READ_AT, 1, 0, 0)
  expect(work(9)).toEqual([])
})

test('answers leave in pieces, as the ring has room', () => {
  const { ask, tell, work } = open(2 ** 16)
  const long = 'x'.repeat(20_000)
  for (const id of [1, 2, 3, 4, 5]) {
    ask(id, [long])
    tell(reads.READ_AT, id, 0, 0)
  }
  const found: string[] = []
  for (let i = 0; i < 20; i++) found.push(...work(1))
  expect(found.map((one) => [one.slice(0, 6), one.length])).toEqual(
    [1, 2, 3, 4, 5].map((id) => [`${id}@1:0=`, long.length + 6]),
  )
})
