// A mask on its way out: as a file, to the clipboard, or as the request that made it.

function fileName(picture, format) {
    const stem = picture.name.replace(/\.[^.]*$/, '') || 'image';
    return format === 'png' ? `${stem}-mask.png` : `${stem}-${format.replaceAll('_', '-')}.json`;
}

// {blob, name}: one of a prompt's masks in a format, or of everything when there is no prompt. The daemon makes it anew: all
// formats are its own.
export async function exported(picture, { prompt, index }, format) {
    const { data } = prompt
        ? await picture.segment({ ...prompt, format })
        : await picture.request('GET', `everything?format=${format}`);
    const mask = data.masks[index];
    const name = fileName(picture, format);
    if (format !== 'png')
        return { name, blob: new Blob([`${JSON.stringify(described(data, mask))}\n`], { type: 'application/json' }) };
    const bytes = Uint8Array.from(atob(mask.segmentation.split(',')[1]), (character) => character.charCodeAt(0));
    return { name, blob: new Blob([bytes], { type: 'image/png' }) };
}

// Without what has a meaning only to the daemon.
function described({ width, height }, { segmentation, bbox, area, predicted_iou, stability_score }) {
    return { width, height, segmentation, bbox, area, predicted_iou, stability_score };
}

export function download({ blob, name }) {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// blob may be promised: browsers want to be asked while they still see the click.
export async function copy(blob, type) {
    if (!navigator.clipboard)
        throw new Error('Browsers copy only on pages from https or localhost; download it instead');
    await navigator.clipboard.write([new ClipboardItem({ [type]: blob })]);
}

// The request that gives a prompt's masks, for a POSIX shell.
export function curlOf(picture, prompt) {
    const url = `${location.origin}/v1/images/${picture.id}`;
    if (!prompt)
        return `curl -d '{}' ${url}/everything`;
    const quoted = JSON.stringify(prompt).replaceAll("'", "'\\''");
    return `curl -d '${quoted}' ${url}/segment`;
}
