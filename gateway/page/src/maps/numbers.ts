/** Numbers as people read them. */

export function percent(fraction: number, digits = 0): string {
  return `${(fraction * 100).toFixed(digits)} %`;
}

export function share(fraction: number): string {
  if (fraction === 0) return "0 %";
  return fraction < 0.001 ? "less than 0.1 %" : percent(fraction, 1);
}

export function area(squareMetres: number): string {
  if (squareMetres >= 1e6) return `${(squareMetres / 1e6).toFixed(2)} km²`;
  if (squareMetres >= 1e4) return `${(squareMetres / 1e4).toFixed(2)} ha`;
  return `${Math.round(squareMetres)} m²`;
}

export function bytes(count: number): string {
  if (count >= 2 ** 30) return `${(count / 2 ** 30).toFixed(1)} GiB`;
  if (count >= 2 ** 20) return `${(count / 2 ** 20).toFixed(1)} MiB`;
  return `${Math.max(1, Math.round(count / 2 ** 10))} KiB`;
}
