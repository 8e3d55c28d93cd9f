/**
 * What every table of messages or records shares: a row per kind, with its code, its fields and the
 * two functions that write and read them, side by side so that they cannot drift apart. The read
 * function is one object literal, so that all values of a kind have one hidden class.
 *
 * Invariants: codes are 1 .. 255 and never reused; words behind the fields of a kind are 0, so that
 * decode and encode are inverse to each other byte for byte.
 *
 * Pure; runs in any thread. One object per decoded message, nothing else is allocated.
 */
import { assert } from '../base/assert.ts'
import { ReplicaError, hasCode } from '../base/errors.ts'
import { isWord } from './cell.ts'

export interface FieldType {
  readonly min: number
  readonly max: number
  /** A ballot is 0 or has an owner: its low 16 bits are not 0. */
  readonly owned: boolean
}

const MAX = Number.MAX_SAFE_INTEGER
export const NUMBER: FieldType = { min: 0, max: MAX, owned: false }
export const BALLOT: FieldType = { min: 0, max: MAX, owned: true }
export const CHAIN: FieldType = { min: 0, max: 0xffff_ffff, owned: false }
/** A chain value, or -1: the sender no longer knows it. */
export const CHAIN_OR_NONE: FieldType = { min: -1, max: 0xffff_ffff, owned: false }

export interface Row<M> {
  readonly code: number
  /** Names and types in the order of the words. */
  readonly fields: readonly (readonly [name: Exclude<keyof M, 'kind'>, type: FieldType])[]
  encode(message: M, words: Float64Array, at: number): void
  /** The words were checked before. */
  decode(words: Float64Array, at: number): M
}

export type Rows<M extends { readonly kind: string }> = {
  readonly [Kind in M['kind']]: Row<Extract<M, { readonly kind: Kind }>>
}

export interface MessageCodec<M> {
  /** Writes the kind word and all field words of the cell at `base`. */
  encode(message: M, words: Float64Array, base: number): void
  /** @throws ReplicaError E_FRAME_INVALID naming the field, for words that encode never writes */
  decode(words: Float64Array, base: number): M
  /** n: a question of number n that is answered at once; -n: the answer to it; 0: neither. */
  probeOf(message: M): number
}

/** Null: words that encode never writes, from a peer of another build or a broken one. */
export function decodeOrNull<M>(
  codec: MessageCodec<M>,
  words: Float64Array,
  base: number,
): M | null {
  try {
    return codec.decode(words, base)
  } catch (error) {
    if (hasCode(error, 'E_FRAME_INVALID')) return null
    throw error
  }
}

/** Where the words of a row stand in a cell. */
export interface CellShape {
  /** Added to every code; tells records from messages. */
  readonly codeBase: number
  readonly fieldsAt: number
  readonly fieldsMax: number
}

export interface RowProblem {
  readonly field: string
  readonly problem: 'kind' | 'number' | 'owner' | 'not-zero'
}

export interface RowTable<M> extends Omit<MessageCodec<M>, 'probeOf'> {
  /** What decode would throw, as data. */
  problemOf(words: Float64Array, base: number): RowProblem | undefined
}

export function rowTable<M extends { readonly kind: string }>(
  rows: Rows<M>,
  shape: CellShape,
): RowTable<M> {
  const byKind = rows as unknown as Readonly<Record<string, Row<M>>>
  const byCode = rowsByCode(Object.values(byKind), shape)
  const problemOf = (words: Float64Array, base: number): RowProblem | undefined => {
    const row = byCode[words[base]! - shape.codeBase]
    return row === undefined ? NO_KIND : fieldProblem(row, words, base + shape.fieldsAt, shape)
  }
  const encode = (message: M, words: Float64Array, base: number): void => {
    const row = byKind[message.kind]
    assert(row !== undefined, 'a message is of a kind that the table has')
    const at = base + shape.fieldsAt
    words[base] = shape.codeBase + row.code
    row.encode(message, words, at)
    for (let i = row.fields.length; i < shape.fieldsMax; i++) words[at + i] = 0
    const problem = fieldProblem(row, words, at, shape)
    assert(problem === undefined, 'what is encoded can be decoded')
  }
  const decode = (words: Float64Array, base: number): M => {
    const problem = problemOf(words, base)
    if (problem !== undefined) refuse(problem)
    return byCode[words[base]! - shape.codeBase]!.decode(words, base + shape.fieldsAt)
  }
  return { encode, decode, problemOf }
}

const NO_KIND: RowProblem = { field: 'kind', problem: 'kind' }

function rowsByCode<M>(rows: readonly Row<M>[], shape: CellShape): (Row<M> | undefined)[] {
  const byCode: (Row<M> | undefined)[] = []
  for (const row of rows) {
    assert(row.code > 0 && row.code < 256, 'a code is a byte')
    assert(row.fields.length <= shape.fieldsMax, 'the fields of a kind fit the cell')
    assert(byCode[row.code] === undefined, 'a code names one kind')
    while (byCode.length <= row.code) byCode.push(undefined)
    byCode[row.code] = row
  }
  return byCode
}

function fieldProblem<M>(
  row: Row<M>,
  words: Float64Array,
  at: number,
  shape: CellShape,
): RowProblem | undefined {
  const { fields } = row
  for (let i = 0; i < fields.length; i++) {
    const [name, type] = fields[i]!
    const value = words[at + i]!
    if (!isWord(value, type.min) || value > type.max) {
      return { field: String(name), problem: 'number' }
    }
    if (type.owned && value !== 0 && value % 65_536 === 0) {
      return { field: String(name), problem: 'owner' }
    }
  }
  for (let i = fields.length; i < shape.fieldsMax; i++) {
    if (!Object.is(words[at + i], 0)) return { field: `word ${i}`, problem: 'not-zero' }
  }
  return undefined
}

function refuse({ field, problem }: RowProblem): never {
  throw new ReplicaError('E_FRAME_INVALID', `${field}: ${problem}`, { field, problem })
}
