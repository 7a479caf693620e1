// Before anything is painted: the scheme that was chosen last.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch (error) {
  console.info("The theme is not remembered here:", error.name);
}
