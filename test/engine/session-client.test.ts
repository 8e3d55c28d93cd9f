/** The client side of sessions over a real ingest stage; the log is played by hand. */
import { expect, test } from 'vitest'
import { FRAME_FLAG_SESSIONS, FRAME_KIND, createFrameHeader } from '../../src/codec/frame.ts'
import { enterFrame, nextEntry, openFrameCursor, readFrameHeader } from '../../src/codec/frame.ts'
import { createClientSide } from '../../src/engine/client.ts'
import { createSessionSide } from '../../src/engine/session-client.ts'
import { publish, tryClaim } from '../../src/ring/log-ring.ts'
import { REPLY_HEADER_SIZE_BYTES, replySizeOf } from '../../src/stages/apply-stage.ts'
import * as cell from '../../src/stages/cells.ts'
import { createIngest } from '../../src/stages/ingest-stage.ts'
import { COMMAND, type SessionAnswer, encodeAnswer } from '../../src/stages/session-bytes.ts'
import { VERDICT } from '../../src/stages/session-table.ts'
import { cellRing, cellsOf, logRing, order, port } from '../support/engine-cells.ts'
import { codeOf, failing, outcomeOf, text, textOf } from '../support/engine.ts'

const BALLOT = 65_537

interface MadeFrame {
  readonly kind: number
  readonly flags: number
  readonly clientId: number
  readonly clientSequence: number
  readonly entries: readonly (readonly [session: number, sequence: number, payload: string])[]
}

function open() {
  const [log, replyBytes] = [logRing(2 ** 16), logRing(2 ** 16)]
  const [events, submitted, replies] = [cellRing(), cellRing(), cellRing()]
  const ingest = createIngest(
    {
      ...{ batchBytesMax: 4_096, batchEntriesMax: 100, lingerMs: 0 },
      ...{ uncommittedBytesMax: 16_384, indexed: true },
    },
    {
      ...{ log, events, toDecide: port(submitted), nowMs: () => 0 },
      onLead: () => undefined,
    },
  )
  const client = createClientSide(ingest, {
    ...{ replies, replyBytes, durability: 'os', clientIdBase: 100, completesOnApply: false },
    later: queueMicrotask,
    payloadSizeBytesMax: 1_000,
    ...{ clusterId: 'c', readers: null },
  })
  const sessions = createSessionSide(ingest, client, 'xpaxos')
  const [tell, answerPort] = [port(events), port(replies)]
  const event = (...values: number[]): void => {
    order(tell, values)
    ingest.doWork()
  }
  const frames = (): MadeFrame[] => {
    ingest.seal()
    return cellsOf(submitted).map((words) => {
      const [at, end] = [words[5]!, words[5]! + words[2]!]
      const header = createFrameHeader()
      expect(readFrameHeader(log.bytes, log.view, at, end, header)).toBe('ok')
      const cursor = openFrameCursor(log.view)
      enterFrame(cursor, log.view, at, header)
      const entries: [number, number, string][] = []
      while (nextEntry(cursor)) {
        const payload = log.bytes.slice(cursor.payloadOffset)
        const own = payload.slice(0, cursor.payloadSize)
        entries.push([cursor.clientId, cursor.sequence, textOf(own)!])
      }
      const { kind, flags, clientId, clientSequence } = header
      return { kind, flags, clientId, clientSequence, entries }
    })
  }
  /** What the apply stage says of a frame that was chosen with its first entry at `first`. */
  const answer = (frame: MadeFrame, first: number, answers: readonly SessionAnswer[]): void => {
    const bytes = answers.map(encodeAnswer)
    const sizeBytes = bytes.reduce((sum, one) => sum + replySizeOf(one.length), 0)
    const claimed = Math.ceil(sizeBytes / 64) * 64
    const offset = tryClaim(replyBytes, claimed)
    let at = offset
    for (const [place, one] of bytes.entries()) {
      replyBytes.view.setUint32(at, one.length, true)
      replyBytes.view.setFloat64(at + 8, first + place, true)
      replyBytes.bytes.set(one, at + REPLY_HEADER_SIZE_BYTES)
      at += replySizeOf(one.length)
    }
    const end = publish(replyBytes, claimed)
    const through = frame.clientSequence + answers.length - 1
    order(answerPort, [
      ...[cell.REPLIES, frame.clientId, claimed, answers.length, 0, offset],
      ...[through, end, first, frame.clientSequence],
    ])
    client.doWork()
  }
  return { sessions, event, frames, answer }
}

const verdict = (code: SessionAnswer['verdict'], index = 5, next = 9): SessionAnswer => ({
  ...{ verdict: code, index, next, result: code === VERDICT.applied ? text('done') : null },
})

test('sessions share frames; each entry carries its own session and sequence', async () => {
  const { sessions, event, frames, answer } = open()
  event(cell.LEAD, BALLOT, 1)
  const opening = sessions.open()
  const [command] = frames()
  expect(command).toMatchObject({ kind: FRAME_KIND.session, flags: FRAME_FLAG_SESSIONS })
  expect(command!.entries).toEqual([[0, 0, String.fromCharCode(COMMAND.open)]])
  answer(command!, 1, [verdict(VERDICT.done, 1, 1)])
  const [one, two] = [await opening, sessions.resume(77, 5)]
  const proposed = [one.propose(text('a')), two.propose(text('b')), one.propose(text('c'))]
  const [frame] = frames()
  expect(frame).toMatchObject({ kind: FRAME_KIND.entries, flags: FRAME_FLAG_SESSIONS })
  expect(frame!.entries).toEqual([
    [1, 1, 'a'],
    [77, 5, 'b'],
    [1, 2, 'c'],
  ])
  const places = [2, 3, 4].map((index) => verdict(VERDICT.applied, index))
  answer(frame!, 2, places)
  const results = await Promise.all(proposed)
  expect(results.map(({ index, result }) => [index, textOf(result)])).toEqual([
    [2, 'done'],
    [3, 'done'],
    [4, 'done'],
  ])
  expect([one.id, one.next, two.next]).toEqual([1, 3, 6])
})

test('commands stand in the log where they were asked, behind what was proposed before', () => {
  const { sessions, event, frames } = open()
  event(cell.LEAD, BALLOT, 1)
  const session = sessions.resume(3, 1)
  const calls = [
    ...[session.propose(text('a')), session.outcome(1), session.propose(text('b'))],
    session.close(),
  ]
  for (const call of calls) call.catch(() => undefined)
  const names = frames().map(({ kind, entries }) => [kind, entries[0]![2].charCodeAt(0)])
  const { entries, session: commands } = FRAME_KIND
  expect(names).toEqual([
    [entries, 97],
    [commands, COMMAND.decide],
    [entries, 98],
    [commands, COMMAND.close],
  ])
})

test('a session outlives the loss of leadership, and retries nothing by itself', async () => {
  const { sessions, event, frames, answer } = open()
  event(cell.LEAD, BALLOT, 1)
  const session = sessions.resume(3, 1)
  const published = failing(session.propose(text('a')))
  const [lost] = frames()
  const open1 = failing(session.propose(text('b')))
  const deciding = failing(session.outcome(1))
  event(cell.UNLEAD, 2)
  expect([codeOf(await published), outcomeOf(await published)]).toEqual([
    ...['E_LEADERSHIP_LOST', 'unknown'],
  ])
  // The command behind it sealed its frame, so that it was published; the command was not.
  expect(outcomeOf(await open1)).toBe('unknown')
  expect(outcomeOf(await deciding)).toBe('not-proposed')
  const refused = await failing(session.propose(text('c')))
  expect([codeOf(refused), outcomeOf(refused), session.next]).toEqual([
    ...['E_NOT_LEADER', 'not-proposed', 3],
  ])
  frames()
  event(cell.LEAD, 2 * BALLOT, 4)
  expect(frames()).toEqual([])
  const retry = session.propose(text('a'), { sequence: 1 })
  const [again] = frames()
  expect(again!.entries).toEqual([[3, 1, 'a']])
  expect(again!.clientId).not.toBe(lost!.clientId)
  answer(lost!, 1, [verdict(VERDICT.applied, 1)]) // nobody waits for that one any more
  answer(again!, 4, [{ ...verdict(VERDICT.applied, 1), verdict: VERDICT.repeated }])
  const token = { cluster: 'c', epoch: 0, index: 4 } // of the retry, past the first
  expect(await retry).toEqual({ index: 1, result: text('done'), durability: 'os', token })
})

test('a signal ends the waiting, not the proposal: its sequence is taken', async () => {
  const { sessions, event, frames } = open()
  event(cell.LEAD, BALLOT, 1)
  const session = sessions.resume(3, 1)
  const controller = new AbortController()
  const aborted = failing(session.propose(text('a'), { signal: controller.signal }))
  frames()
  controller.abort()
  expect([codeOf(await aborted), outcomeOf(await aborted), session.next]).toEqual([
    ...['E_ABORTED', 'unknown', 2],
  ])
})

const REFUSALS: readonly [keyof typeof VERDICT, string, string][] = [
  ['answerExpired', 'E_ANSWER_EXPIRED', 'unknown'],
  ['forgotten', 'E_ANSWER_EXPIRED', 'unknown'],
  ['outOfOrder', 'E_OUT_OF_ORDER', 'not-proposed'],
  ['fenced', 'E_SESSION_FENCED', 'not-proposed'],
  ['sessionUnknown', 'E_SESSION_UNKNOWN', 'unknown'],
]

test.each(REFUSALS)('T6: %s is %s, %s', async (name, code, outcome) => {
  const { sessions, event, frames, answer } = open()
  event(cell.LEAD, BALLOT, 1)
  const proposed = failing(sessions.resume(3, 4).propose(text('a')))
  answer(frames()[0]!, 1, [verdict(VERDICT[name])])
  expect([codeOf(await proposed), outcomeOf(await proposed)]).toEqual([code, outcome])
})

const OUTCOMES: readonly [keyof typeof VERDICT, string][] = [
  ['repeated', 'committed'],
  ['answerExpired', 'committed'],
  ['fenced', 'never'],
  ['forgotten', 'unknown'],
  ['sessionUnknown', 'unknown'],
]

test.each(OUTCOMES)('the outcome of what is %s is %s', async (name, outcome) => {
  const { sessions, event, frames, answer } = open()
  event(cell.LEAD, BALLOT, 1)
  const session = sessions.resume(3, 4)
  const asked = session.outcome(2)
  answer(frames()[0]!, 1, [verdict(VERDICT[name], 5, 12)])
  expect([await asked, session.next]).toEqual([outcome, 12])
})
