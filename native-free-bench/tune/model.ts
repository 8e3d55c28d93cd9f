/**
 * What batch and pipeline sizes give, by formula. Pure. The method is that of N. Santos and
 * A. Schiper, "Tuning Paxos for High-Throughput with Batching and Pipelining" (ICDCN 2012) and
 * "Optimizing Paxos with batching and pipelining" (TCS 496, 2013): find what one round costs each
 * resource, take the busiest, and have as many rounds under way as remove its idle time.
 * docs/tuning.md derives the formulas. Seconds, bytes and entries throughout; k is entries a round,
 * w is rounds under way.
 */

/** Busy time of a serial resource for one round: a fixed part, and one of each entry. */
export interface Affine {
  readonly fixedS: number
  readonly perEntryS: number
}

export const costOf = ({ fixedS, perEntryS }: Affine, entries: number): number =>
  fixedS + perEntryS * entries

/** A thread of a node, or the cores of the machine together. */
export interface Resource {
  readonly name: string
  readonly busy: Affine
  /** Logs whose syncs it waits for: none, its node's, or those of all nodes of a process. */
  readonly logs: number
}

/** A write and sync of so many bytes takes fixedS + perByteS * bytes. */
export interface Disk {
  readonly fixedS: number
  readonly perByteS: number
}

export interface CostModel {
  /** Bytes of an entry in a batch, and of what a batch adds once. */
  readonly entryBytes: number
  readonly headerBytes: number
  readonly resources: readonly Resource[]
  readonly disk: Disk
  readonly roundTripS: number
  /** Of a link; Infinity: not bounded. */
  readonly bandwidthBytesPerS: number
  /** What a lone round takes beside round trip, links and syncs: hand-overs between threads. */
  readonly rest: Affine
}

/** P(k) = h + k s. */
export const packetBytesOf = ({ headerBytes, entryBytes }: CostModel, entries: number): number =>
  headerBytes + entries * entryBytes

export const syncOf = ({ fixedS, perByteS }: Disk, bytes: number): number =>
  fixedS + perByteS * bytes

/**
 * Time of a round that is alone: T(k) = F + R + P(k)/Bw + F + rest. The leader's own sync goes on
 * meanwhile and ends before that of a follower, so it adds nothing of its own.
 */
export function roundOf(model: CostModel, entries: number): number {
  const packetBytes = packetBytesOf(model, entries)
  const remoteS = model.roundTripS + packetBytes / model.bandwidthBytesPerS
  return remoteS + syncOf(model.disk, packetBytes) + costOf(model.rest, entries)
}

export interface Bottleneck {
  readonly name: string
  readonly busyS: number
}

export const LINK = 'a link'

/**
 * Phi*(k) = max over resources. One sync covers the rounds that came while the last one ran: with
 * `syncedTogether` rounds a sync, the disk takes F/g + k s/D of each.
 */
export function bottleneckOf(
  model: CostModel,
  entries: number,
  syncedTogether: number,
): Bottleneck {
  const packetBytes = packetBytesOf(model, entries)
  const diskS = syncOf(model.disk, packetBytes * syncedTogether) / syncedTogether
  const all = model.resources.map(({ name, busy, logs }) => ({
    name,
    busyS: costOf(busy, entries) + logs * diskS,
  }))
  all.push({ name: LINK, busyS: packetBytes / model.bandwidthBytesPerS })
  return all.reduce((most, one) => (one.busyS > most.busyS ? one : most))
}

/** One half of the rounds is being synced while the other half forms. */
export const groupOf = (rounds: number): number => Math.max(1, rounds / 2)

/** X(k,w) = k min(w / T(k), 1 / Phi*(k)). Entries a second. */
export function throughputOf(model: CostModel, entries: number, rounds: number): number {
  const { busyS } = bottleneckOf(model, entries, groupOf(rounds))
  return entries * Math.min(rounds / roundOf(model, entries), 1 / busyS)
}

/** w*(k) = ceil(T(k) / Phi*(k)): with more rounds under way only the queue grows. */
export function saturatingRoundsOf(model: CostModel, entries: number, roundsMax: number): number {
  for (let rounds = 1; rounds < roundsMax; rounds++) {
    const { busyS } = bottleneckOf(model, entries, groupOf(rounds))
    if (rounds * busyS >= roundOf(model, entries)) return rounds
  }
  return roundsMax
}

/**
 * Efficiency of a resource is k beta / (alpha + k beta), so k = (alpha/beta) e/(1-e): 4, 9 and 19
 * times alpha/beta for 80, 90 and 95 %. Infinity: entries cost nothing, only rounds do.
 */
export const entriesForEfficiency = ({ fixedS, perEntryS }: Affine, efficiency: number): number =>
  perEntryS === 0 ? Infinity : ((fixedS / perEntryS) * efficiency) / (1 - efficiency)

/** Bytes that must be under way to keep a link busy: W = Bw (R + F). */
export const windowBytesOf = (
  bandwidthBytesPerS: number,
  roundTripS: number,
  remoteSyncS: number,
): number => bandwidthBytesPerS * (roundTripS + remoteSyncS)

/** The load, as the formulas see it. */
export interface LoadShape {
  /** Closed loop: entries outstanding; null: open loop at `ratePerS`. */
  readonly inflight: number | null
  readonly ratePerS: number | null
  /** The load hands over so many entries at a time, at most. */
  readonly chunkEntries: number
  readonly windowBytes: number
  readonly batchEntriesMax: number
}

export interface Rounds {
  readonly entries: number
  readonly rounds: number
}

/**
 * Batches that no timer forms: a round takes what came while the pipeline was full. In a closed
 * loop of N entries and depth d that is N/(d+1) of them (d under way, one forming), in an open loop
 * lambda T/d; never more than fits, and as many rounds as the window and the load allow.
 */
export function roundsOf(
  model: CostModel,
  { inflight, ratePerS, chunkEntries, windowBytes, batchEntriesMax }: LoadShape,
  { batchMaxBytes, pipelineDepth }: { batchMaxBytes: number; pipelineDepth: number },
): Rounds {
  const { entryBytes, headerBytes } = model
  const fits = Math.max(1, Math.floor((batchMaxBytes - headerBytes) / entryBytes))
  const most = Math.min(fits, batchEntriesMax)
  const arrived =
    inflight === null
      ? (ratePerS! * roundOf(model, 1)) / pipelineDepth
      : Math.max(chunkEntries, inflight / (pipelineDepth + 1))
  const entries = Math.max(1, Math.min(most, arrived))
  const ofWindow = Math.floor(windowBytes / packetBytesOf(model, entries))
  const ofLoad = inflight === null ? Infinity : inflight / entries
  return { entries, rounds: Math.max(1, Math.min(pipelineDepth, ofWindow, ofLoad)) }
}

/** What sizes should give under a load; entries a second. */
export function predictOf(
  model: CostModel,
  load: LoadShape,
  sizes: { batchMaxBytes: number; pipelineDepth: number },
): number {
  const { entries, rounds } = roundsOf(model, load, sizes)
  const possible = throughputOf(model, entries, rounds)
  return load.ratePerS === null ? possible : Math.min(possible, load.ratePerS)
}
