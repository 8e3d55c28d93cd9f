import { expect, test } from 'vitest'
import { formatOf, parseHistory } from '../../src/check/history.ts'

const json = (...fields: object[]): string => fields.map((one) => JSON.stringify(one)).join('\n')
const call = { process: 1, type: 'invoke', f: 'write', key: 'x', value: 1 }
const ok = { ...call, type: 'ok' }

test.each<[want: string, text: string]>([
  ['line 2: line: not JSON, or cut short', `${json(call)}\n{"process":1,"ty`],
  ['line 1: line: not a JSON object', '[1]'],
  ['line 1: process: want a number or a text, not nothing', json({ type: 'ok' })],
  ['line 1: type: want invoke, ok, fail, info: "done"', json({ ...call, type: 'done' })],
  ['line 1: f: want a text, not nothing', json({ ...call, f: undefined })],
  ['line 1: f: steal is no operation', json({ ...call, f: 'steal' })],
  [
    'line 1: f: append is no operation of kv (get, put, delete, cas, incr, read, write)',
    json({ ...call, f: 'append' }),
  ],
  ['line 1: key: missing', json({ ...call, key: null })],
  ['line 1: key: want a text or a number, not {}', json({ ...call, key: {} })],
  ['line 1: value: missing', json({ ...call, value: undefined })],
  ['line 1: value: a cas has [old, new]', json({ ...call, f: 'cas', value: 3 })],
  ['line 1: value: a put has a value; delete makes a key absent', json({ ...call, value: null })],
  ['line 1: process: 1 returns without a call', json(ok)],
  ['line 2: process: 1 invokes; its call of line 1 is open', json(call, call)],
  [
    'line 3: process: 1 invokes, and ended in info at line 2',
    json(call, { ...call, type: 'info' }, call),
  ],
  ['line 2: f: read returns, and write was called at line 1', json(call, { ...ok, f: 'read' })],
  ['line 2: key: y, and the call of line 1 has another', json(call, { ...ok, key: 'y' })],
  ['line 2: value: not that of the call at line 1', json(call, { ...ok, value: 2 })],
  [
    'line 2: value: missing: what was read',
    json({ ...call, f: 'get' }, { ...ok, f: 'get', value: undefined }),
  ],
  ['line 2: timeNs: missing, and other lines have it', json({ ...call, timeNs: 5 }, ok)],
  ['line 1: timeNs: want a number, not "5"', json({ ...call, timeNs: '5' })],
])('%s', (want, text) => {
  expect(() => parseHistory('kv', 'jsonl', text)).toThrow(`E_HISTORY_INVALID: ${want}`)
})

const log = (...lines: string[]): string =>
  lines.map((one) => `INFO  jepsen.util - ${one}`).join('\n')

test.each<[want: string, text: string]>([
  ['line 1: line: does not begin with "INFO  jepsen.util - "', 'INFO jep'],
  ['line 1: process: want a whole number, not "x"', log('x\t:invoke\t:read\tnil')],
  ['line 1: type: want :invoke, :ok, :fail or :info: ":inv"', log('1\t:inv')],
  ['line 1: f: want :read, :write or :cas, not nothing', log('1\t:invoke')],
  ['line 1: f: enqueue is no operation', log('1\t:invoke\t:enqueue\t3')],
  ['line 1: value: cannot read "[1"', log('1\t:invoke\t:cas\t[1')],
  ['line 1: value: cannot read nothing', log('1\t:invoke\t:write\t')],
  ['line 2: value: :timed-out where', log('1\t:invoke\t:read\tnil', '1\t:ok\t:read\t:timed-out')],
  ['line 1: process: 1 returns without a call', log('1\t:ok\t:read\tnil')],
])('%s', (want, text) => {
  expect(() => parseHistory('register', 'jepsen', text)).toThrow(`E_HISTORY_INVALID: ${want}`)
})

test('lines are in order of their times, then as they stand', () => {
  const other = { ...call, process: 2, f: 'get' }
  const text = json(
    ...[
      { ...call, timeNs: 5 },
      { ...ok, timeNs: 9 },
    ],
    ...[
      { ...other, timeNs: 1 },
      { ...other, type: 'ok', value: null, timeNs: 5 },
    ],
  )
  const spans = parseHistory('kv', 'jsonl', text).map((one) => [one.f, one.call, one.return])
  expect(spans).toEqual([
    ['get', 0, 2],
    ['write', 1, 3],
  ])
})

test('what never ended, and what ended in info, is pending', () => {
  const text = json(call, { ...call, process: 2 }, { ...call, process: 2, type: 'info' })
  const outcomes = parseHistory('kv', 'jsonl', text).map((one) => [one.outcome, one.return])
  expect(outcomes).toEqual([
    ['info', Infinity],
    ['info', Infinity],
  ])
})

test('blank lines, line ends of Windows and nemesis lines are no operations', () => {
  const text = log(
    '1\t:invoke\t:read\tnil\r',
    '',
    ':nemesis\t:info\t:start\tnil',
    '1\t:ok\t:read\t3',
  )
  expect(parseHistory('register', 'jepsen', text.replace(/.*- \n/, '\n'))).toHaveLength(1)
})

test('the format shows in the first character', () => {
  expect(formatOf(`\n ${json(call)}`)).toBe('jsonl')
  expect(formatOf('INFO')).toBe('jepsen')
})
