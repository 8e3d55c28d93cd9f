/**
 * A disk as the list of its encoded WAL envelopes, each with its frames. Cheap: no files. A restart
 * decodes the envelopes, checks their chain, and folds them with the fold of the real WAL.
 */
import { ENVELOPE_SIZE_BYTES, ENVELOPE_CHAIN, ENVELOPE_FLOOR } from '../codec/record.ts'
import { chainAfter, chainStep, decodeEnvelope, encodeEnvelope, recordOf } from '../codec/record.ts'
import type { LogIndex, Lsn } from '../core/ids.ts'
import type { WalRecord } from '../core/records.ts'
import { EMPTY_START, foldRecord, isMetadata, openFold } from '../wal/fold.ts'
import type { Disk, Found } from './disk.ts'
import type { Frame } from './frames.ts'
import { demand } from './invariants.ts'
import type { Stored } from './log.ts'
import { type Random, below } from './random.ts'

const CAPACITY = 32
const WORDS = ENVELOPE_SIZE_BYTES / 8

export function createRecordDisk(): Disk {
  let bytes = new Uint8Array(CAPACITY * ENVELOPE_SIZE_BYTES)
  let words = new Float64Array(bytes.buffer)
  let metadata = 0 as Lsn
  let chain = 0
  let floorSaid = 0 as LogIndex
  const frames: (readonly Frame[])[] = []

  const grow = (): void => {
    const more = new Uint8Array(2 * bytes.length)
    more.set(bytes)
    bytes = more
    words = new Float64Array(more.buffer)
  }
  const append = (
    lsn: Lsn,
    record: WalRecord,
    floor: LogIndex,
    content: readonly Frame[],
  ): void => {
    demand(lsn === frames.length + 1, 'I8', 'LSNs are handed out in order')
    if (frames.length * ENVELOPE_SIZE_BYTES === bytes.length) grow()
    if (isMetadata(record)) metadata = lsn
    if (floor > floorSaid) floorSaid = floor
    let payloadDigest = 0
    let payloadSizeBytes = 0
    for (const { headerCrc, sizeBytes } of content) {
      payloadDigest = chainStep(payloadDigest, headerCrc)
      payloadSizeBytes += sizeBytes
    }
    const fields = {
      lsn,
      payloadSizeBytes,
      frameCount: content.length,
      segment: 1,
      floor: floorSaid,
      synced: disk.durableLsn,
      metadata,
      payloadDigest,
    }
    chain = encodeEnvelope(bytes, words, frames.length * WORDS, record, fields, chain)
    frames.push(content)
    disk.lsn = lsn
  }
  const recover = (): Found => {
    const fold = openFold(EMPTY_START)
    const records: Pick<Stored, 'lsn' | 'record' | 'frames'>[] = []
    let before = 0
    for (let i = 0; i < frames.length; i++) {
      const base = i * WORDS
      demand(decodeEnvelope(bytes, words, base) === 'ok', 'I13', 'an envelope reads as written')
      before = chainAfter(bytes, base, before)
      demand(words[base + ENVELOPE_CHAIN] === before, 'I13', 'envelopes follow each other')
      const record = recordOf(words, base)
      const lsn = (i + 1) as Lsn
      foldRecord(fold, record, lsn, words[base + ENVELOPE_FLOOR]! as LogIndex, frames[i]!)
      records.push({ lsn, record, frames: frames[i]! })
    }
    const { promised, acceptedBallot, last, floor, floorChain, floorContinues, lsn } = fold
    const firstRetained = 1 as LogIndex
    const known = { promised, acceptedBallot, last, floor, floorChain, floorContinues }
    const found = { ...known, marks: [...fold.marks], configs: [...fold.configs] }
    return { ...found, firstRetained, lsn, records }
  }
  const crash = (random: Random, keepAll: boolean): void => {
    const unsynced = frames.length - disk.durableLsn
    const kept = disk.durableLsn + (keepAll ? unsynced : below(random, unsynced + 1))
    frames.length = kept
    chain = kept === 0 ? 0 : words[(kept - 1) * WORDS + ENVELOPE_CHAIN]!
    disk.lsn = kept as Lsn
    disk.durableLsn = kept as Lsn // the restart writes it again and syncs
    metadata = 0 as Lsn
    for (let i = 0; i < kept; i++) {
      if (isMetadata(recordOf(words, i * WORDS))) metadata = (i + 1) as Lsn
    }
    floorSaid = (kept === 0 ? 0 : words[(kept - 1) * WORDS + ENVELOPE_FLOOR]!) as LogIndex
  }
  const disk = {
    lsn: 0 as Lsn,
    durableLsn: 0 as Lsn,
    append,
    sync(lsn: Lsn, fails: boolean): boolean {
      if (fails) return false
      if (lsn > disk.durableLsn) disk.durableLsn = lsn
      return true
    },
    read: () => null,
    crash,
    recover,
  }
  return disk
}
