// The page: what the user does becomes prompts, and their masks become what is shown.

import { Picture, onKeyNeeded } from './daemon.js';
import { copy, curlOf, download, exported } from './export.js';
import { Preview } from './preview.js';
import { NOTHING, chosen, isEmpty, isPick, promptOf, requestOf, requestOfChosen, withPoint } from './steps.js';
import { SUBTLE_PREVIEW, View } from './view.js';

const $ = (id) => document.getElementById(id);
const stage = $('stage');
const view = new View(stage);
const candidates = [...$('candidates').children]; // the one of "auto", then the three

const STEP = 10;      // that an arrow key moves the crosshair by, in shown pixels
const DRAG_START = 6; // shown pixels until a press becomes a box

// Undo and redo walk along the steps, whose masks are kept.
let steps = [NOTHING];
let at = 0;

let picture = null;    // the image on the daemon; ready once it has an id
let asking = null;     // AbortController of the click under way
let crosshair = null;  // the keyboard's pixel of the image
let finding = null;    // AbortController of everything
let everything = null; // all masks, while they are shown
let draft = null;      // the box that is being drawn: [x1, y1, x2, y2]

const current = () => steps[at];
const isReady = () => picture?.id !== undefined;

function say(text, isError = false) {
    $('status').textContent = text;
    $('status').classList.toggle('error', isError);
}

const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
const thousands = (value) => value.toLocaleString('en').replaceAll(',', '\u202f');

// ---- masks ---------------------------------------------------------------------------------------

// Shows the current step; asks for its masks when they are not there.
function render() {
    const step = current();
    const mask = step.masks && step.masks[chosen(step)];
    preview.stop();
    everything = null;
    if (mask || isEmpty(step))
        view.show('mask', mask);
    view.mark({ ...step, draft, crosshair });
    renderCandidates(step);
    $('undo').disabled = at === 0;
    $('redo').disabled = at === steps.length - 1;
    $('clear').disabled = isEmpty(step);
    for (const id of ['download', 'copy', 'curl'])
        $(id).disabled = !mask;
    if (mask)
        say(`Mask of ${thousands(mask.area)} pixels, score ${mask.predicted_iou.toFixed(2)}`);
    else if (!isEmpty(step))
        ask(step);
}

function renderCandidates(step) {
    const masks = isPick(step) ? [] : step.masks ?? [];
    $('auto').hidden = masks.length < 4;
    candidates.forEach((button, i) => {
        const index = masks.length - candidates.length + i;
        const mask = masks[index];
        const [canvas, text] = button.children;
        const score = mask ? mask.predicted_iou.toFixed(2) : '';
        button.disabled = !mask;
        button.setAttribute('aria-pressed', String(Boolean(mask) && chosen(step) === index));
        button.setAttribute('aria-label', `Candidate ${button.dataset.name}${score && `, score ${score}`}`);
        text.textContent = score;
        view.thumbnail(canvas, mask, masks);
    });
}

async function ask(step) {
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking;
    const asked = picture;
    try {
        const { data, trip, server } = await picture.segment(requestOf(step), signal);
        step.masks = data.masks;
        $('time-click').textContent = `${milliseconds(trip)}, server ${milliseconds(server.total)}`;
    } catch (problem) {
        if (signal.aborted || picture !== asked)
            return;
        steps = steps.slice(0, at);
        at--;
        render();
        say(problem.message, true);
        return;
    }
    if (picture === asked && current() === step)
        render();
}

function push(step) {
    steps = [...steps.slice(0, at + 1), step];
    at++;
    render();
}

function addPoint(point, label) {
    if (!isReady())
        return;
    if (everything)
        pick(point);
    else if (label === 0 && isEmpty(current()))
        say('Add something first: then remove what is too much');
    else
        push(withPoint(current(), point, label));
}

function addBox([x1, y1, x2, y2]) {
    const box = [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
    push({ ...current(), box, masks: null });
}

function walk(by) {
    at = Math.min(steps.length - 1, Math.max(0, at + by));
    render();
    if (isEmpty(current()))
        say('');
}

function clear() {
    if (!isEmpty(current()))
        push(NOTHING);
    say('');
}

// One of the three candidates, or null for the best.
function choose(choice) {
    const step = current();
    if (!step.masks)
        return;
    step.choice = choice;
    render();
}

// ---- preview -------------------------------------------------------------------------------------

// When what was drawn just now is on the screen.
function onPainted(then) {
    requestAnimationFrame(() => setTimeout(() => then(performance.now())));
}

// Once the pointer rests: the text would have to be drawn again with every preview.
let telling = 0;
function tellPreviewTime(trip, server) {
    clearTimeout(telling);
    telling = setTimeout(() => {
        $('time-preview').textContent = `${milliseconds(trip)}, server ${milliseconds(server)}`;
    }, 200);
}

// A position is {point, label, time}: the pixel, what a click would do there, and when the pointer was there. The best
// mask alone is asked for, unless the user wants another.
const preview = new Preview({
    async ask({ point, label }, signal) {
        const step = withPoint(current(), point, label);
        const request = { ...promptOf(step), ...(step.choice !== null && { multimask: true }) };
        const { data, trip, server } = await picture.segment(request, signal);
        tellPreviewTime(trip, server.total);
        return data.masks[step.choice ?? 0];
    },
    show(mask, { time }, newest) {
        if (newest && !view.covers(mask, newest.point))
            return; // the pointer has left that object
        view.show('preview', mask, isEmpty(current()) ? undefined : SUBTLE_PREVIEW);
        onPainted((end) => {
            performance.clearMeasures('preview');
            performance.measure('preview', { start: time, end });
        });
    },
    hide() {
        view.show('preview', null);
    },
});

function previewAt(point, label, time) {
    if (everything)
        view.light(point);
    else if (isReady() && !draft)
        preview.move({ point, label: isEmpty(current()) ? 1 : label, time });
}

// ---- everything ----------------------------------------------------------------------------------

async function findEverything() {
    const asked = picture;
    finding?.abort();
    finding = new AbortController();
    const { signal } = finding;
    preview.stop();
    showProgress('Finding everything', 0);
    try {
        const masks = await picture.everything((fraction) => {
            if (!signal.aborted)
                showProgress(`Finding everything: ${Math.round(100 * fraction)} %`, fraction);
        }, signal);
        if (signal.aborted)
            return;
        render();
        everything = masks;
        view.showAll(masks);
        view.mark({ crosshair });
        say(`${masks.length} ${masks.length === 1 ? 'object' : 'objects'}: click one`);
        stage.focus({ preventScroll: true });
    } catch (problem) {
        if (!signal.aborted)
            say(problem.message, true);
    } finally {
        if (picture === asked)
            showProgress(null);
    }
}

function pick(point) {
    const index = view.light(point);
    if (index < 0)
        return;
    const mask = everything[index];
    push({ ...NOTHING, picked: { mask, index }, masks: [mask] });
}

// ---- pointer -------------------------------------------------------------------------------------

const chosenLabel = () => Number(document.querySelector('input[name=label]:checked').value);
const labelOf = (event) => (event.shiftKey || event.button === 2 ? 0 : chosenLabel());
let press = null; // {x, y, point} of the button that is down

stage.addEventListener('pointerdown', (event) => {
    if (!event.isPrimary || (event.button !== 0 && event.button !== 2) || !isReady())
        return;
    stage.setPointerCapture(event.pointerId);
    press = { x: event.clientX, y: event.clientY, point: view.pixelAt(event.clientX, event.clientY, true) };
    crosshair = draft = null;
});

stage.addEventListener('pointermove', (event) => {
    if (!press || !event.isPrimary)
        return;
    const isDrag = Math.hypot(event.clientX - press.x, event.clientY - press.y) >= DRAG_START;
    if (event.buttons === 1 && (draft || isDrag)) {
        preview.stop();
        draft = [...press.point, ...view.pixelAt(event.clientX, event.clientY, true)];
        view.mark({ ...current(), draft });
    }
});

// As early as the browser can tell, which may be a frame before pointermove.
stage.addEventListener('onpointerrawupdate' in window ? 'pointerrawupdate' : 'pointermove', (event) => {
    const point = view.pixelAt(event.clientX, event.clientY);
    if (press || !point || event.pointerType === 'touch')
        return;
    crosshair = null;
    previewAt(point, labelOf(event), event.timeStamp);
});

stage.addEventListener('pointerup', (event) => {
    if (!press)
        return;
    const { point } = press;
    const box = draft;
    press = draft = null;
    if (box)
        addBox(box);
    else
        addPoint(point, labelOf(event));
});

stage.addEventListener('pointercancel', () => {
    press = draft = null;
    render();
});

stage.addEventListener('pointerleave', () => {
    if (!crosshair)
        preview.stop();
});

stage.addEventListener('contextmenu', (event) => event.preventDefault());

// ---- keyboard ------------------------------------------------------------------------------------

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function putCrosshair(pixel, time) {
    crosshair = view.clamped(pixel);
    if (draft)
        draft = [draft[0], draft[1], ...crosshair];
    view.mark({ ...current(), draft, crosshair });
    previewAt(crosshair, chosenLabel(), time);
}

const middle = () => [Math.floor(view.width / 2), Math.floor(view.height / 2)];

function moveCrosshair([dx, dy], isFine, time) {
    const by = isFine ? 1 : Math.max(1, Math.round(STEP / view.scale));
    const [x, y] = crosshair ?? middle();
    putCrosshair([x + dx * by, y + dy * by], time);
    say(`Crosshair at ${crosshair[0]}, ${crosshair[1]}`);
}

function toggleBox() {
    if (!crosshair)
        return;
    if (draft) {
        const box = draft;
        draft = null;
        addBox(box);
        return;
    }
    preview.stop();
    draft = [...crosshair, ...crosshair];
    say('A box begins here: move, then press B again');
}

function leave() {
    finding?.abort();
    if (draft || everything) {
        draft = null;
        render();
    } else {
        clear();
    }
}

// On the image.
function onStageKey(event) {
    if (ARROWS[event.key])
        moveCrosshair(ARROWS[event.key], event.shiftKey, event.timeStamp);
    else if (event.key === 'Enter' && draft)
        toggleBox();
    else if (event.key === 'Enter' && crosshair)
        addPoint(crosshair, event.shiftKey ? 0 : chosenLabel());
    else if ((event.key === '-' || event.key === '−') && crosshair)
        addPoint(crosshair, 0);
    else if (event.key.toLowerCase() === 'b')
        toggleBox();
    else
        return false;
    return true;
}

// Anywhere on the page, but in fields.
const ACTIONS = {
    u: () => walk(-1),
    U: () => walk(1),
    0: () => choose(null),
    1: () => choose(0),
    2: () => choose(1),
    3: () => choose(2),
    Escape: leave,
    e: () => $('everything').click(),
    d: () => $('download').click(),
    c: () => $('copy').click(),
    '?': () => $('keys-dialog').showModal(),
};

function onControlKey(event) {
    const key = event.key.toLowerCase();
    if (key !== 'z' && key !== 'y')
        return false;
    walk(key === 'y' || event.shiftKey ? 1 : -1);
    return true;
}

document.addEventListener('keydown', (event) => {
    if (event.altKey || event.target.closest('dialog, select, input:not([type=radio])'))
        return;
    let isOurs = false;
    if (event.ctrlKey || event.metaKey) {
        isOurs = onControlKey(event);
    } else if (isReady() && event.target === stage && onStageKey(event)) {
        isOurs = true;
    } else if (ACTIONS[event.key]) {
        ACTIONS[event.key]();
        isOurs = true;
    }
    if (isOurs)
        event.preventDefault();
});

stage.addEventListener('focus', () => {
    if (isReady() && !crosshair && stage.matches(':focus-visible'))
        putCrosshair(middle(), performance.now());
});

// ---- images --------------------------------------------------------------------------------------

function showProgress(text, fraction = null) {
    $('progress').hidden = text === null;
    $('doing').textContent = text ?? '';
    if (fraction === null)
        $('bar').removeAttribute('value');
    else
        $('bar').value = fraction;
}

function showDesk(isOpen) {
    document.body.classList.toggle('empty', !isOpen);
    $('welcome').hidden = isOpen;
    $('panel').hidden = !isOpen;
    stage.hidden = true; // until the image can be seen
}

function forget() {
    preview.stop();
    asking?.abort();
    finding?.abort();
    picture = crosshair = draft = press = null;
    steps = [NOTHING];
    at = 0;
    render();
}

async function open(blob, name) {
    forget();
    const opening = new Picture(blob);
    opening.name = name;
    picture = opening;
    showDesk(true);
    stage.classList.add('busy');
    showProgress('Uploading', 0);
    const url = URL.createObjectURL(blob);
    try {
        const uploaded = opening.upload((fraction) => {
            if (picture === opening)
                showProgress(fraction < 1 ? `Uploading ${Math.round(100 * fraction)} %` : 'Encoding',
                    fraction < 1 ? fraction : null);
        });
        await Promise.all([uploaded, view.open(url)]);
        if (picture !== opening)
            return;
        view.resize(opening.width, opening.height);
        const encoded = opening.encodeTime === null ? 'known already' : milliseconds(opening.encodeTime);
        $('time-encode').textContent = encoded;
        $('model').textContent = opening.model;
        say(`${opening.width} × ${opening.height} pixels. Point at an object.`);
        stage.setAttribute('aria-label', `${name}, ${opening.width} by ${opening.height} pixels`);
        stage.focus({ preventScroll: true });
    } catch (problem) {
        if (picture === opening)
            fail(problem);
    } finally {
        URL.revokeObjectURL(url);
        if (picture === opening || picture === null) {
            stage.classList.remove('busy');
            showProgress(null);
        }
    }
}

function fail(problem) {
    picture = null;
    showDesk(false);
    const isNoImage = problem.name === 'EncodingError';
    say(isNoImage ? 'This is not an image that the browser can show' : problem.message, true);
}

async function openSample() {
    const response = await fetch('/sample.jpg');
    open(await response.blob(), 'sample.jpg');
}

function openFirst(files) {
    const file = [...files].find(({ type }) => type.startsWith('image/')) ?? files[0];
    if (file)
        open(file, file.name);
}

for (const id of ['open', 'choose'])
    $(id).addEventListener('click', () => $('file').click());
for (const id of ['sample', 'try'])
    $(id).addEventListener('click', openSample);
$('file').addEventListener('change', (event) => {
    openFirst(event.target.files);
    event.target.value = '';
});
document.addEventListener('paste', (event) => openFirst(event.clipboardData.files));
for (const name of ['dragenter', 'dragover', 'dragleave', 'drop'])
    document.addEventListener(name, (event) => {
        event.preventDefault();
        document.body.classList.toggle('dropping', name === 'dragenter' || name === 'dragover');
        if (name === 'drop')
            openFirst(event.dataTransfer.files);
    });

// ---- the panel -----------------------------------------------------------------------------------

$('undo').addEventListener('click', () => walk(-1));
$('redo').addEventListener('click', () => walk(1));
$('clear').addEventListener('click', clear);
$('everything').addEventListener('click', () => isReady() && findEverything());
candidates.forEach((button, i) => button.addEventListener('click', () => choose(i === 0 ? null : i - 1)));

const result = () => exported(picture, requestOfChosen(current()), $('format').value);

async function tell(action, done) {
    try {
        await action();
        say(done);
    } catch (problem) {
        say(problem.message, true);
    }
}

$('download').addEventListener('click', () => tell(async () => download(await result()), 'Downloaded'));
$('copy').addEventListener('click', () => {
    const isPicture = $('format').value === 'png';
    const type = isPicture ? 'image/png' : 'text/plain';
    tell(() => copy(result().then(({ blob }) => blob.slice(0, blob.size, type)), type), 'Copied');
});
$('curl').addEventListener('click', () => {
    const text = new Blob([curlOf(picture, requestOfChosen(current()).prompt)], { type: 'text/plain' });
    tell(() => copy(text, text.type), 'The request is copied, as a curl command');
});
$('more').addEventListener('click', () => $('keys-dialog').showModal());

onKeyNeeded((reason) => new Promise((resolve) => {
    const dialog = $('key-dialog');
    $('key-reason').textContent = reason;
    $('key').value = '';
    dialog.returnValue = 'cancel';
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'use' ? $('key').value.trim() : null), { once: true });
    dialog.showModal();
}));

view.onfit = () => {
    view.mark({ ...current(), draft, crosshair });
    renderCandidates(current());
};
