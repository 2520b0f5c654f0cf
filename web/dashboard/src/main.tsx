import { render } from "preact";
import { sendOnLeave } from "./actions";
import { App } from "./app";
import { watchHands } from "./calm";
import { startClock } from "./clock";
import { listenToKeys } from "./keys";
import { followProject, readFirst } from "./live";
import { followLinks, screen } from "./route";
import { loadScreens, screenCode } from "./screens/screens";
import "./styles/base.css";
import "./styles/rows.css";
import "./styles/now.css";

// The requests of the first rows and of the screen's code run while the page draws its frame.
readFirst();
void screenCode(screen.peek().name)?.load();
startClock();
followLinks();
followProject();
listenToKeys();
watchHands();
sendOnLeave();
const page = document.getElementById("page");
if (page) render(<App />, page);

/** The other screens are loaded when the first one stands, and not in the middle of its drawing. */
const REST_MS = 1500;
setTimeout(() => void loadScreens(), REST_MS);
