import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createRoot } from "react-dom/client";
import { createStore } from "requery-client";
import { followQueries } from "requery-client/tanstack";
import { Tasks } from "./tasks";

const store = createStore();
const client = new QueryClient();
followQueries(store, client);

createRoot(document.getElementById("root")!).render(
  <QueryClientProvider client={client}>
    <Tasks store={store} />
  </QueryClientProvider>,
);
