// The digest by which results are compared with those of other platforms.

/** FNV-1a, 64 bits, over the bits of the elements; any NaN counts as the same. 16 hexadecimal digits. */
export function digest(values) {
  const bits = new DataView(new ArrayBuffer(4));
  let hash = 0xcbf29ce484222325n;
  for (const value of values) {
    if (Number.isNaN(value)) bits.setUint32(0, 0x7fc00000, true);
    else bits.setFloat32(0, value, true);
    for (let i = 0; i < 4; i++) {
      hash = BigInt.asUintN(64, (hash ^ BigInt(bits.getUint8(i))) * 0x100000001b3n);
    }
  }
  return hash.toString(16).padStart(16, "0");
}
