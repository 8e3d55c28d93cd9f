/**
 * Frames that the protocol itself asks for: config batches and empty ones, stamped like those of
 * clients. What a config batch says is read back from its bytes, so that every node believes the
 * codec and not the object that was encoded. Pure.
 */
import {
  FRAME_HEADER_SIZE_BYTES,
  FRAME_KIND,
  type FrameKind,
  createFrameHeader,
  entrySizeOf,
  frameSizeOf,
  readFrameHeader,
  stampFrame,
  writeEntry,
  writeFrameHeader,
} from '../codec/frame.ts'
import { configBytesOf, decodeMembership, encodeMembership } from '../codec/membership.ts'
import type { Ballot, LogIndex } from '../core/ids.ts'
import { type Membership, membershipProblem } from '../core/membership.ts'
import { type Frame, type FrameArena, claimBytes } from './frames.ts'

const NO_BYTES = new Uint8Array(0)

/** A config batch, or with null an empty one: one entry either way. */
export function makeProtocolFrame(
  arena: FrameArena,
  membership: Membership | null,
  ballot: Ballot,
  first: number,
): Frame {
  const payload = membership === null ? NO_BYTES : encodeMembership(membership)
  const kind = membership === null ? FRAME_KIND.empty : FRAME_KIND.config
  const bodySizeBytes = entrySizeOf(payload.length)
  const sizeBytes = frameSizeOf(bodySizeBytes)
  const { bytes, view, offset } = claimBytes(arena, sizeBytes)
  const fields = { kind, flags: 0, bodySizeBytes, count: 1, clientId: 0, clientSequence: 0 }
  writeFrameHeader(view, offset, fields)
  writeEntry(bytes, view, offset + FRAME_HEADER_SIZE_BYTES, payload)
  const index = first as LogIndex
  const headerCrc = stampFrame(bytes, view, offset, ballot, index)
  const frame: Frame = {
    first: index,
    count: 1,
    through: index,
    ballot,
    sizeBytes,
    headerCrc,
    continues: false,
    kind,
    serial: arena.nextSerial++,
    session: 0,
    ...configIn(kind, { bytes, view, offset, sizeBytes }),
    bytes,
    view,
    offset,
  }
  arena.byCrc.set(headerCrc, frame)
  return frame
}

/** What a frame of this kind says of the membership. */
export function configIn(
  kind: FrameKind,
  { bytes, view, offset, sizeBytes }: Pick<Frame, 'bytes' | 'view' | 'offset' | 'sizeBytes'>,
): Pick<Frame, 'membership' | 'config'> {
  if (kind !== FRAME_KIND.config) return { membership: null }
  const header = createFrameHeader()
  readFrameHeader(bytes, view, offset, offset + sizeBytes, header)
  const config = configBytesOf(bytes, view, offset, header).slice()
  return { membership: decodeMembership(config, membershipProblem), config }
}
