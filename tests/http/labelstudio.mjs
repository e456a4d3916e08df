// Decodes Label Studio's RLE with the package that Label Studio itself uses: a JSON array of encoded
// masks on stdin becomes one of alpha channels in base64. The argument is the package's directory.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { decode } = await import(pathToFileURL(process.argv[2]));
const masks = JSON.parse(readFileSync(0));
const alphas = masks.map((bytes) => {
  const rgba = decode(new Uint8Array(bytes));
  return Buffer.from(rgba.filter((_, i) => i % 4 === 3)).toString("base64");
});
console.log(JSON.stringify(alphas));
