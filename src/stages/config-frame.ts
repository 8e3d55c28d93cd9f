/**
 * Frames of the protocol's own in a log ring: config batches, empty and abort ones. Who makes them
 * (ingest), who checks them once (receive), who reads what they say (decide, recovery) meet here.
 * Any thread that owns its end of the ring.
 */
import { type FrameHeader, FRAME_HEADER_SIZE_BYTES, FRAME_KIND } from '../codec/frame.ts'
import type { FrameKind } from '../codec/frame.ts'
import { entrySizeOf, frameSizeOf, stampFrame, writeEntry } from '../codec/frame.ts'
import { createFrameHeader, readFrameHeader, writeFrameHeader } from '../codec/frame.ts'
import { configBytesOf, decodeMembership } from '../codec/membership.ts'
import { assert } from '../base/assert.ts'
import { isReplicaError } from '../base/errors.ts'
import type { Ballot, LogIndex } from '../core/ids.ts'
import { type Membership, membershipProblem } from '../core/membership.ts'
import { type LogRing, publish, tryClaim } from '../ring/log-ring.ts'
import type { FrameCell, FramePlace } from './cells.ts'

const NO_BYTES = new Uint8Array(0)

/** @throws ReplicaError E_FRAME_INVALID */
export const membershipOfBytes = (bytes: Uint8Array): Membership =>
  decodeMembership(bytes, membershipProblem)

/**
 * What a config frame in a ring says. Its checksums and its body were checked before it got there.
 * @throws ReplicaError E_FRAME_INVALID
 */
export function membershipAt(log: LogRing, offset: number, sizeBytes: number): Membership {
  const header = createFrameHeader()
  const check = readFrameHeader(log.bytes, log.view, offset, offset + sizeBytes, header)
  assert(check === 'ok', 'a frame in a ring was verified before it was ordered')
  return membershipOfBytes(configBytesOf(log.bytes, log.view, offset, header))
}

/** False for a config frame with right checksums whose body no node of this version would make. */
export function isKnownConfig(log: LogRing, offset: number, header: FrameHeader): boolean {
  try {
    membershipOfBytes(configBytesOf(log.bytes, log.view, offset, header))
    return true
  } catch (error) {
    if (isReplicaError(error) && error.code === 'E_FRAME_INVALID') return false
    throw error
  }
}

/**
 * A frame that the protocol asked for and that is not published yet: a config frame with these
 * bytes, an empty one, or one that ends an open group and makes it void (R38).
 */
export type ProtocolFrame = Uint8Array | 'empty' | 'abort'

/**
 * Publishes such a frame, of one entry.
 * @returns null while the ring has no room
 */
export function putProtocolFrame(
  log: LogRing,
  frame: ProtocolFrame,
  ballot: number,
  first: number,
): (FrameCell & Omit<FramePlace, 'ring'>) | null {
  if (typeof frame !== 'string') return putFrame(log, FRAME_KIND.config, frame, ballot, first)
  return putFrame(log, FRAME_KIND[frame], NO_BYTES, ballot, first)
}

/** The same for any kind of one entry. */
export function putFrame(
  log: LogRing,
  kind: FrameKind,
  payload: Uint8Array,
  ballot: number,
  first: number,
): (FrameCell & Omit<FramePlace, 'ring'>) | null {
  const bodySizeBytes = entrySizeOf(payload.length)
  const sizeBytes = frameSizeOf(bodySizeBytes)
  const offset = tryClaim(log, sizeBytes)
  if (offset < 0) return null
  const fields = { kind, flags: 0, bodySizeBytes, count: 1, clientId: 0, clientSequence: 0 }
  writeFrameHeader(log.view, offset, fields)
  const end = writeEntry(log.bytes, log.view, offset + FRAME_HEADER_SIZE_BYTES, payload)
  log.bytes.fill(0, end, offset + sizeBytes)
  const index = first as LogIndex
  const headerCrc = stampFrame(log.bytes, log.view, offset, ballot as Ballot, index)
  return {
    first,
    count: 1,
    ballot,
    sizeBytes,
    headerCrc,
    kind,
    offset,
    end: publish(log, sizeBytes),
  }
}
