/** A nominal type that costs nothing at run time: only the checker sees the brand. */
declare const brand: unique symbol
export type Brand<Value, Name extends string> = Value & { readonly [brand]: Name }
