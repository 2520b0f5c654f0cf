import { render } from "preact";
import { sendOnLeave } from "./actions";
import { App } from "./app";
import { watchHands } from "./calm";
import { startClock } from "./clock";
import { noteFirstDrawing } from "./drawn";
import { listenToKeys } from "./keys";
import { followProject, firstRows } from "./live";
import { followLinks, screen } from "./route";
import { loadScreens, screenCode } from "./screens/screens";
import "./styles/base.css";
import "./styles/rows.css";
import "./styles/now.css";

const rows = firstRows();
// The request of the screen's code runs while the page draws its frame.
void screenCode(screen.peek().name)?.load();
startClock();
followLinks();
followProject();
listenToKeys();
watchHands();
sendOnLeave();
const page = document.getElementById("page");
if (page)
  void rows.then(() => {
    render(<App />, page);
    noteFirstDrawing();
  });

/** The other screens are loaded when the first one stands, and not in the middle of its drawing. */
const REST_MS = 1500;
setTimeout(() => void loadScreens(), REST_MS);
