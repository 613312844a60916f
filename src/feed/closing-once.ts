/** Calls back once, however often it is closed. */
export function closingOnce(onClose: () => void): { close: () => void } {
  let isOpen = true;
  return {
    close: () => {
      if (isOpen) onClose();
      isOpen = false;
    },
  };
}
